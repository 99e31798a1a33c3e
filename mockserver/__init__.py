"""The stand-in itself: does what a contract says, over time."""
