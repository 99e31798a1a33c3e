"""Data only: one OpenAPI file per provider.  Present so that wheels carry it."""
