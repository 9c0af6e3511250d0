"""What runs in child processes only. Nothing above imports it; the daemon starts it by exec."""


class Cancelled(Exception):
    """Nobody waits for this job any more."""
