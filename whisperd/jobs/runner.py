"""Which jobs are worked on: the next ones that are due, as many at once as the engine has use for.

Those whose recordings are being fetched are not among these: a slow server keeps none waiting but its own.
"""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from whisperd.errors import Unavailable
from whisperd.jobs.model import Job
from whisperd.jobs.store import Store
from whisperd.jobs.workshop import Workshop, cause, late
from whisperd.journal import fields
from whisperd.tasks import scoped

logger = logging.getLogger(__name__)

_LOOK_S: Final = 30.0
"""The queue is looked at so often even if nobody says that there is something new."""
_FETCHING: Final = 4
"""Recordings that are fetched at once, at most."""
_PAUSE_S: Final = 10.0
"""After a failure of the store."""


class Runner:
    """Has so many jobs worked on at once."""

    def __init__(
        self,
        store: Store,
        workshop: Workshop,
        *,
        running: int,
        now: Callable[[], datetime.datetime],
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._store = store
        self._workshop = workshop
        self._running = running
        self._now = now
        self._pause_s = pause_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._fetching: set[str] = set()
        """The jobs among them whose recordings are being fetched."""
        self._suspects: set[str] = set()
        """The one among them of which the daemon may have died: two at once, and it could not be told which
        of them it was.
        """
        self._claiming = asyncio.Lock()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def stop(self, job_id: str) -> None:
        """Leave off a job that has ended, or is gone: frees the engine, and returns when that is done."""
        async with self._claiming:  # so that none is missed that is being taken now
            task = self._tasks.get(job_id)
        if task:
            async with scoped(task):
                pass

    async def run(self, died_of: Sequence[Job] = ()) -> None:
        """Work until cancelled; then what runs goes back to the queue at once. `died_of`: what the daemon
        before this one had in its hands.
        """
        try:
            for job in died_of:
                self._begin(job, self._workshop.blame(job))
            while True:
                self._woken.clear()
                try:
                    while self._has_room() and await self._take():
                        pass
                    wait_s = await self._idle_s()
                except Unavailable as error:
                    logger.warning("no job can be taken: %s", error.message)
                    wait_s = self._pause_s
                except Exception:
                    logger.exception("no job can be taken; trying again in %g s", self._pause_s)
                    wait_s = self._pause_s
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._woken.wait()
        finally:
            if self._tasks:
                async with scoped(*self._tasks.values()):
                    pass

    async def fail_overdue(self) -> None:
        """End the jobs whose deadline has passed, whatever they do."""
        now = self._now()
        error = cause(late(), now)
        failed = []
        try:
            for job in await self._store.overdue(at=now):
                if ended := await self._store.fail(job.id, job.attempts, error):
                    failed.append(ended)  # noqa: PERF401 - a failure must not lose those before it
        finally:
            for job in failed:
                await self.stop(job.id)
                self._workshop.end(job)

    # ---- taking ----------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        """Whether the engine has use for another job."""
        return len(self._tasks) - len(self._fetching) < self._running

    def _fetches_all(self) -> bool:
        """Whether no further recording can be fetched now."""
        return len(self._fetching) >= _FETCHING

    async def _take(self) -> bool:
        """Begin with the next job; False when there is none that is due."""
        async with self._claiming:
            job = await self._store.claim(
                at=self._now(), fetched=self._fetches_all(), trusted=bool(self._suspects)
            )
            if job is None:
                return False
            if job.source.digest is None:
                self._fetching.add(job.id)
            else:
                self._fetching.discard(job.id)
            if job.suspect:
                self._suspects.add(job.id)
            self._begin(job, self._workshop.work(job))
        return True

    def _begin(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks[job.id] = asyncio.create_task(work)
        task.add_done_callback(lambda task: self._done(job, task))

    async def _idle_s(self) -> float:
        """How long there is nothing to do if nobody says so."""
        if not self._has_room():
            return _LOOK_S
        due = await self._store.next_due(fetched=self._fetches_all(), trusted=bool(self._suspects))
        if due is None:
            return _LOOK_S
        return min(_LOOK_S, max(0.0, (due - self._now()).total_seconds()))

    def _done(self, job: Job, task: asyncio.Task[None]) -> None:
        if self._tasks.get(job.id) is task:  # not yet the next attempt's
            del self._tasks[job.id]
            self._fetching.discard(job.id)
            self._suspects.discard(job.id)
        if not task.cancelled() and (error := task.exception()):
            logger.error(
                "can't note what came of a job; it is taken up again after a restart",
                exc_info=error,
                extra=fields(job_id=job.id),
            )
        self.wake()
