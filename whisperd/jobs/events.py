"""What happens to a job, told in order to whoever asks: also to those who come late, or come back.

An event's id says how much its reader knows. Those who name the last one that they saw get what came after:

- `REVISION` is a status. Only the present one is told: of those that came and went meanwhile none is.
- `REVISION.N` is segment N (from 0) of the attempt that began with that revision. A segment of another
  revision than the one before it begins anew: the attempt before failed or was interrupted, and what it had
  heard is void. So it is too for those who come back only after the end of a job that asked for speakers:
  they get its final segments, which name them, under the revision of the end.
- Progress has no id of its own, comes at most once a second, and is not told again.

Those who name no event, or one that this job can't have had, get the present status and all segments of the
attempt that runs; after the end all segments, and then the status. The end's status is the last event.
"""

import asyncio
import contextlib
import math
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from whisperd.errors import UnknownJob
from whisperd.jobs.board import Board, Sheet
from whisperd.jobs.model import Job, JobEvent, Progress
from whisperd.jobs.store import Store
from whisperd.transcript.model import Segment

_PROGRESS_S: Final = 1.0
"""Between two events of progress."""
_ID: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,15}))?")


async def events(
    store: Store,
    board: Board,
    job_id: str,
    owner: str,
    after: str | None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[JobEvent, None]:
    """The events of a job behind the one whose id is `after`, until it has ended, is deleted, or the daemon
    stops. A reader who takes his time holds no more than the segments of one attempt. To be closed
    (`contextlib.aclosing`) by those who leave before its end. Raises UnknownJob.
    """
    with board.sheet(job_id) as sheet:
        noted = sheet.noted
        job = await store.get(job_id, owner)
        reader = _Reader(after, job)
        told: Progress | None = None
        next_progress_at = -math.inf
        while not job.ended:
            version = sheet.version
            for event in reader.status(job):
                yield event
            if sheet.began == job.began:
                for event in reader.segments(job, job.began, sheet.segments):
                    yield event
            wait_s = None
            if (progress := sheet.progress) and progress != told:
                wait_s = next_progress_at - clock()
                if wait_s <= 0:
                    told, next_progress_at, wait_s = progress, clock() + _PROGRESS_S, None
                    yield reader.progress(job, progress)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while sheet.version == version and not sheet.closed:
                        await sheet.changed()
            if sheet.closed:
                return
            if sheet.noted != noted:
                noted = sheet.noted
                try:
                    job = await store.get(job_id, owner)
                except UnknownJob:
                    return
        revision, segments = await _final(store, sheet, job)
        for event in reader.segments(job, revision, segments):
            yield event
        for event in reader.status(job):
            yield event


def has_seen_all(job: Job, after: str | None) -> bool:
    """Whether nothing is left to be told of a job to those whose last event was this one."""
    return job.ended and _position(after, job) >= (_revision(job), math.inf)


async def _final(store: Store, sheet: Sheet, job: Job) -> tuple[int, Sequence[Segment]]:
    """The segments of a job that has ended, and the revision that they are told under."""
    if sheet.began and sheet.began == job.began:
        return job.began, sheet.segments
    transcript = await store.transcript(job.id) if job.status == "completed" else None
    if transcript is None:
        return job.began, []
    # Naming the speakers cuts segments where one follows another, and so numbers them anew.
    return _revision(job) if job.work.speakers else job.began, transcript.segments


class _Reader:
    """Somebody who is told of a job, and what he knows."""

    def __init__(self, after: str | None, job: Job) -> None:
        self._seen = _position(after, job)
        self._id = after or ""

    def status(self, job: Job) -> Iterator[JobEvent]:
        """The job's status, if it is news."""
        # The end comes behind its segments, any other status before them.
        position = _revision(job), math.inf if job.ended else -1
        if position > self._seen:
            self._seen, self._id = position, str(_revision(job))
            yield JobEvent(id=self._id, kind="status", job=job)

    def segments(self, job: Job, revision: int, heard: Sequence[Segment]) -> Iterator[JobEvent]:
        """Those that are news; others may be added meanwhile."""
        known, last = self._seen
        if known > revision or last == math.inf:
            return
        number = int(last) + 1 if known == revision else 0
        while number < len(heard):
            self._seen, self._id = (revision, number), f"{revision}.{number}"
            yield JobEvent(id=self._id, kind="segment", job=job, segment=heard[number])
            number += 1

    def progress(self, job: Job, progress: Progress) -> JobEvent:
        """How far it has come."""
        return JobEvent(id=self._id, kind="progress", job=replace(job, progress=progress))


def _position(after: str | None, job: Job) -> tuple[int, float]:
    """What the reader has seen: less than any event where that says nothing."""
    match = _ID.fullmatch(after or "")
    if match is None or int(match[1]) > job.revision:
        return -1, -1
    revision, segment = int(match[1]), match[2]
    if segment is not None:
        return revision, int(segment)
    return revision, math.inf if job.ended and revision >= _revision(job) else -1


def _revision(job: Job) -> int:
    """That of the job's status: what is cleared away after the end is no news."""
    return job.began + 1 if job.status == "completed" else job.revision
