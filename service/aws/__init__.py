"""The only package that calls a vendor."""
