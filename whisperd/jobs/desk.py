"""Where jobs are handed in, asked after and called off: the only door from `web/` to them."""

import asyncio
import contextlib
import datetime
import logging
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import Unavailable
from whisperd.jobs.audio import Recordings
from whisperd.jobs.board import Board
from whisperd.jobs.events import events
from whisperd.jobs.model import Delivery, Job, JobEvent, JobStatus, JobType
from whisperd.jobs.retention import Retention, Room
from whisperd.jobs.runner import Runner
from whisperd.jobs.store import Store
from whisperd.jobs.underway import Underway
from whisperd.jobs.workshop import FIRST_PAUSE_S, Ended, Workshop
from whisperd.journal import fields
from whisperd.media.disk import finish
from whisperd.media.fetch import Fetcher
from whisperd.media.spool import Spool
from whisperd.service import Service
from whisperd.tasks import scoped
from whisperd.transcript.model import Segment, Transcript

logger = logging.getLogger(__name__)

_DEADLINES_S: Final = 1.0
"""How late a deadline may be noticed."""
_RETENTION_S: Final = 5.0


class Desk:
    """Takes jobs, has them worked on, and knows how each of them fares."""

    def __init__(
        self,
        live: Live,
        store: Store,
        recordings: Recordings,
        *,
        spool: Spool,
        fetcher: Fetcher,
        service: Service,
        running: int,
        ended: Ended,
        disk_usage: Callable[[Path], Room] = shutil.disk_usage,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        """`fetcher` should write to `recordings.incoming`, whence nothing need be copied; `spool` is for what
        is made of a recording while it is worked on. `running` jobs are worked on at once. `ended` is called
        with each job that has ended, and with what came of it.
        """
        self.incoming: Spool = recordings.incoming
        """Uploads for jobs arrive here, on the disk where they are kept."""
        self._live = live
        self._store = store
        self._recordings = recordings
        self._now = now
        self._board = Board(now=now)
        self._retention = Retention(live, store, recordings, now=now, disk_usage=disk_usage)
        self._underway = Underway(recordings.directory / "underway")
        self._workshop = Workshop(
            live,
            store,
            recordings,
            self._board,
            self._retention,
            self._underway,
            spool=spool,
            fetcher=fetcher,
            service=service,
            ended=ended,
            now=now,
            first_pause_s=first_pause_s,
        )
        self._runner = Runner(store, self._workshop, running=running, now=now, pause_s=first_pause_s)
        self._counts: Mapping[JobStatus, int] = {}

    # ---- handing in and calling off --------------------------------------------------------------

    async def accept(self, job: Job, recording: Path | None) -> Job:
        """Take a job: from here on it outlives whatever dies. Its recording is a file in `incoming`, with
        its digest in `job.source` if that is known, or None where it lies at `job.source.url`.

        With an idempotency key that its owner has used before, returns the job of that time. Raises
        IdempotencyKeyReused, Unavailable when the disk is short.
        """
        await self._retention.make_room()
        allowed = datetime.timedelta(seconds=self._live.current.jobs.deadline)
        job = replace(job, status="pending", deadline=job.deadline or job.created_at + allowed)
        if recording is None:
            taken = await self._store.add(job)
        else:
            size = (await asyncio.to_thread(recording.stat)).st_size
            async with self._recordings.keep(recording, job.source.digest) as digest:
                source = replace(job.source, digest=digest, size=size)
                taken = await self._store.add(replace(job, status="queued", source=source))
        if taken.id == job.id:
            logger.info(
                "job %s: accepted",
                job.id,
                extra=fields(
                    job_id=job.id,
                    job_type=job.type,
                    outcome="accepted",
                    owner=job.owner,
                    bytes=taken.source.size,
                ),
            )
            self._runner.wake()
        return taken

    async def cancel(self, job_id: str, owner: str) -> Job:
        """End a job, and free the engine. Raises UnknownJob, NotCancellable."""
        job = await self._store.cancel(job_id, owner, at=self._now())
        await finish(self._call_off(job))
        return job

    async def delete(self, job_id: str, owner: str) -> Job:
        """Forget a job and all that came of it, and free the engine; returns what it was.

        Raises UnknownJob.
        """
        job = await self._store.delete(job_id, owner)
        await finish(self._clear_away(job))
        return job

    async def _call_off(self, job: Job) -> None:
        await self._runner.stop(job.id)
        self._workshop.end(job)

    async def _clear_away(self, job: Job) -> None:
        await self._runner.stop(job.id)
        self._board.note(job.id)
        if job.source.digest:
            await self._recordings.discard(job.source.digest)
        logger.info(
            "job %s: deleted", job.id, extra=fields(job_id=job.id, outcome="deleted", owner=job.owner)
        )

    # ---- asking ----------------------------------------------------------------------------------

    async def job(self, job_id: str, owner: str) -> Job:
        """The job, with its progress while it is worked on. Raises UnknownJob."""
        return self._with_progress(await self._store.get(job_id, owner))

    async def jobs(
        self,
        owner: str,
        *,
        status: JobStatus | None = None,
        kind: JobType | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Job]:
        """The owner's jobs, newest first, with their progress."""
        jobs = await self._store.list(owner, status=status, kind=kind, limit=limit, offset=offset)
        return [self._with_progress(job) for job in jobs]

    async def transcript(self, job_id: str, owner: str) -> Transcript | None:
        """What came of a completed job. Raises UnknownJob."""
        job = await self._store.get(job_id, owner)
        return await self._store.transcript(job.id)

    def partial(self, job_id: str) -> list[Segment]:
        """The segments that were heard so far of a job that is being worked on."""
        return self._board.segments(job_id)

    async def wait(self, job_id: str, owner: str, timeout_s: float) -> Job:
        """The job when it has ended, or as it is after so long or when the daemon stops.

        Raises UnknownJob.
        """
        with self._board.sheet(job_id) as sheet, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not sheet.closed:
                    noted = sheet.noted
                    job = await self._store.get(job_id, owner)
                    if job.ended:
                        return job
                    while sheet.noted == noted and not sheet.closed:
                        await sheet.changed()
        return await self.job(job_id, owner)

    def events(self, job_id: str, owner: str, after: str | None = None) -> AsyncGenerator[JobEvent, None]:
        """What happens to a job after the event with this id, until it has ended. See `jobs.events`."""
        return events(self._store, self._board, job_id, owner, after)

    async def deliveries(self, job_id: str, owner: str) -> Sequence[Delivery]:
        """The webhooks of a job, with all attempts at them. Raises UnknownJob."""
        job = await self._store.get(job_id, owner)
        return await self._store.deliveries(job.id)

    def counts(self) -> Mapping[JobStatus, int]:
        """How many jobs there are, by status, as of the last look."""
        return self._counts

    def _with_progress(self, job: Job) -> Job:
        progress = self._board.progress(job.id) if job.status == "processing" else None
        return replace(job, progress=progress) if progress else job

    # ---- tending ---------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Work on jobs, and keep to their deadlines and to retention, while the context is open.

        To be entered before uploads may arrive: what lies half-arrived in `incoming` is removed. At its end
        running jobs go back to the queue at once, and those who wait for one get it as it is.
        """
        if orphans := await self._recordings.sweep():
            logger.info("removed %d recordings that no job needs", orphans)
        marked = self._underway.left()
        interrupted, died_of = await self._store.recover(but=marked)
        for job_id in marked - {job.id for job in died_of}:
            self._underway.forget(job_id)
        if interrupted:
            logger.info("%d jobs were interrupted and are worked on again", interrupted)
        tasks = (
            asyncio.create_task(self._runner.run(died_of)),
            asyncio.create_task(_every(_DEADLINES_S, self._runner.fail_overdue)),
            asyncio.create_task(_every(_RETENTION_S, self._keep_house)),
        )
        try:
            async with scoped(*tasks):
                yield
        finally:
            self._board.close()

    async def _keep_house(self) -> None:
        await self._retention.round()
        self._counts = await self._store.counts()


async def _every(seconds: float, step: Callable[[], Awaitable[None]]) -> None:
    """Take a step again and again; a failure is told, and the next one comes all the same."""
    while True:
        try:
            await step()
        except Unavailable as error:
            logger.warning("%s; trying again in %g s", error.message, seconds)
        except Exception:
            logger.exception("trying again in %g s", seconds)
        await asyncio.sleep(seconds)
