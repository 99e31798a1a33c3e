"""A provider asked what costs nothing, its answers held against the contract: `understudy drift`."""
