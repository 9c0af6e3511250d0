"""What runs in child processes only. Nothing above imports it; the daemon starts it by exec."""

from typing import Protocol

from whisperd.transcript.model import Segment


class Cancelled(Exception):
    """Nobody waits for this job any more."""


class Progress(Protocol):
    """How a job tells what has come of it so far."""

    def __call__(self, position_s: float, segment: Segment | None = None, /) -> None:
        """So many seconds of the recording are done, and this segment came of them."""
