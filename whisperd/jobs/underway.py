"""Marks for jobs that are being worked on, which stay behind where the daemon dies of it.

They are not synced: a loss of power, which is no job's doing, takes them along as a rule.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from whisperd.jobs.model import Job
from whisperd.journal import fields
from whisperd.pipeline import Listener
from whisperd.transcript.model import Segment

logger = logging.getLogger(__name__)


class Underway:
    """The marks, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def left(self) -> set[str]:
        """The ids of jobs that the daemon before this one had in its hands when it died."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return {path.stem for path in self._directory.iterdir()}

    def forget(self, job_id: str) -> None:
        """Remove the marks of a job."""
        for path in self._directory.glob(f"{job_id}.*"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def attempt(self, job: Job) -> Iterator[Callable[[], None]]:
        """What sets the mark of an attempt; it goes with the context, however that ends."""
        # The next attempt may have begun before this one's end.
        path = self._directory / f"{job.id}.{job.began}"

        def mark() -> None:
            try:
                path.touch()
            except OSError as error:
                told = "can't note that a job is worked on: %s"
                logger.warning(told, error.strerror, extra=fields(job_id=job.id))

        try:
            yield mark
        finally:
            path.unlink(missing_ok=True)


class Marking:
    """Sets a mark when the recording is open, and passes on what is heard. Before that a job may only have
    waited, for workers that are being started.
    """

    def __init__(self, listener: Listener, mark: Callable[[], None]) -> None:
        self._listener = listener
        self._mark = mark

    def decoded(self, duration_s: float) -> None:
        """See `Listener`."""
        self._mark()
        self._listener.decoded(duration_s)

    def moved(self, position_s: float) -> None:
        """See `Listener`."""
        self._listener.moved(position_s)

    def heard(self, segment: Segment) -> None:
        """See `Listener`."""
        self._listener.heard(segment)
