"""What is known of jobs beyond what is kept: how far they have come, what was heard, and who watches.

All of it goes with the daemon, and a job's sheet as soon as the job is neither worked on nor watched.
"""

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from whisperd.jobs.model import Job, Progress, Stage, Work
from whisperd.transcript.model import Segment

_FARTHEST_S: Final = 30 * 86_400.0
"""An end that is farther off was not estimated from enough."""


class Sheet:
    """One job's place on the board. It wakes those who watch it."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.began = 0
        """The job's `began` of the attempt that `segments` are of; 0 when none is known."""
        self.segments: list[Segment] = []
        """Heard in that attempt; another attempt gets another list."""
        self.noted = 0
        """Rises when the store has something new."""
        self.version = 0
        """Rises with every change."""
        self.closed = False
        """Whether nothing will come any more, because the daemon stops."""
        self.holders = 0
        self.hearing: Hearing | None = None
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next change; there is none of a sheet that is closed."""
        if not self.closed:
            await self._changed.wait()

    def wake(self) -> None:
        """Something has changed."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()


class Hearing:
    """Listens to one attempt at a job, and writes what it hears on the sheet."""

    def __init__(
        self, sheet: Sheet, work: Work, clock: Callable[[], float], now: Callable[[], datetime.datetime]
    ) -> None:
        self._sheet = sheet
        self._work = work
        self._clock = clock
        self._now = now
        self._first: tuple[float, float] | None = None
        """Time and position from which on the speed is measured: not before the engine has taken it up."""

    def fetching(self) -> None:
        """The recording is on its way."""
        self._tell(Progress(stage="fetching"))

    def begin(self, job: Job) -> None:
        """The recording is here: work on it begins."""
        self._sheet.began = job.began
        self._sheet.segments = []
        self._tell(Progress(stage="decoding"))

    def decoded(self, duration_s: float) -> None:
        """The recording can be read, and is so long."""
        self._tell(Progress(stage=_stage(self._work), duration_s=duration_s))

    def moved(self, position_s: float) -> None:
        """The slowest stage has reached this position."""
        progress = self._sheet.progress
        if self._sheet.hearing is self and progress:
            self._tell(replace(progress, position_s=position_s, ends_at=self._end(progress, position_s)))

    def heard(self, segment: Segment) -> None:
        """A segment is there."""
        if self._sheet.hearing is self:
            self._sheet.segments.append(segment)
            self._sheet.wake()

    def _tell(self, progress: Progress) -> None:
        if self._sheet.hearing is self:
            self._sheet.progress = progress
            self._sheet.wake()

    def _end(self, progress: Progress, position_s: float) -> datetime.datetime | None:
        """When it will be done, at the speed so far."""
        time_s = self._clock()
        if self._first is None:
            self._first = time_s, position_s
        since_s, from_s = self._first
        if progress.duration_s is None or position_s <= from_s:
            return None
        pace = (time_s - since_s) / (position_s - from_s)
        left_s = max(0.0, progress.duration_s - position_s) * pace
        return self._now() + datetime.timedelta(seconds=left_s) if left_s < _FARTHEST_S else None


class Board:
    """The sheets of all jobs that are worked on or watched."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._clock = clock
        self._now = now
        self._sheets: dict[str, Sheet] = {}
        self._closed = False

    @contextlib.contextmanager
    def sheet(self, job_id: str) -> Iterator[Sheet]:
        """A job's sheet, for as long as the context is open."""
        sheet = self._sheets.get(job_id)
        if sheet is None:
            sheet = self._sheets[job_id] = Sheet()
            sheet.closed = self._closed
        sheet.holders += 1
        try:
            yield sheet
        finally:
            sheet.holders -= 1
            if not sheet.holders:
                del self._sheets[job_id]

    @contextlib.contextmanager
    def attempt(self, job: Job) -> Iterator[Hearing]:
        """Listen to an attempt, which lasts as long as the context. What was heard stays with who watches."""
        with self.sheet(job.id) as sheet:
            hearing = sheet.hearing = Hearing(sheet, job.work, self._clock, self._now)
            try:
                yield hearing
            finally:
                # The next attempt may have begun already.
                if sheet.hearing is hearing:
                    sheet.hearing = sheet.progress = None
                    sheet.wake()

    def note(self, job_id: str) -> None:
        """The store has something new about the job."""
        if sheet := self._sheets.get(job_id):
            sheet.noted += 1
            sheet.wake()

    def progress(self, job_id: str) -> Progress | None:
        """How far a job has come that is worked on."""
        sheet = self._sheets.get(job_id)
        return sheet.progress if sheet else None

    def segments(self, job_id: str) -> list[Segment]:
        """What was heard of it so far."""
        sheet = self._sheets.get(job_id)
        return list(sheet.segments) if sheet and sheet.hearing else []

    def close(self) -> None:
        """Let all go who watch; nobody waits here any more."""
        self._closed = True
        for sheet in self._sheets.values():
            sheet.closed = True
            sheet.wake()


def _stage(work: Work) -> Stage:
    if not work.text:
        return "diarizing"
    return "transcribing and diarizing" if work.speakers else "transcribing"
