"""Recordings on their way in: where uploads lie while they are worked on."""
