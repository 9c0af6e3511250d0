"""The built package in throw-away Debian systems: a real systemd, no network, nothing but the package."""
