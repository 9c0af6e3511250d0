"""The configuration: one frozen value, passed in, never fetched."""
