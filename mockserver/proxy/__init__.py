"""A validating proxy before the real host: bad requests do not reach it, good ones pass untouched."""
