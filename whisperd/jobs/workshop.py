"""One attempt at a job: its recording fetched, or laid out and the engine asked; and what came of it noted.

Whatever happens between two steps, the store knows how far the job has come; a step of an attempt that it has
gone on without does nothing.
"""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import (
    DeadlineExceeded,
    EngineError,
    MediaError,
    RequestError,
    ServerDied,
    Unavailable,
    WhisperdError,
)
from whisperd.jobs.audio import Recordings
from whisperd.jobs.board import Board, Hearing
from whisperd.jobs.model import Job, JobError
from whisperd.jobs.retention import Retention
from whisperd.jobs.store import Store
from whisperd.jobs.underway import Marking, Underway
from whisperd.journal import fields
from whisperd.media.disk import finish, needing_room
from whisperd.media.fetch import Fetcher
from whisperd.media.spool import Spool
from whisperd.service import Service
from whisperd.transcript.model import Request, Transcript

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 10.0
"""After the first failed attempt; each one after that is twice as long as the one before."""
_LONGEST_PAUSE_S: Final = 600.0

Ended = Callable[[Job, Transcript | None], None]


class Workshop:
    """Where jobs are worked on."""

    def __init__(
        self,
        live: Live,
        store: Store,
        recordings: Recordings,
        board: Board,
        retention: Retention,
        underway: Underway,
        *,
        spool: Spool,
        fetcher: Fetcher,
        service: Service,
        ended: Ended,
        now: Callable[[], datetime.datetime],
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._live = live
        self._store = store
        self._recordings = recordings
        self._board = board
        self._retention = retention
        self._underway = underway
        self._spool = spool
        self._fetcher = fetcher
        self._service = service
        self._ended = ended
        self._now = now
        self._first_pause_s = first_pause_s

    async def work(self, job: Job) -> None:
        """Work on a job that was taken: fetch its recording, with which it goes back to the queue, or have it
        transcribed. When cancelled, the job goes back to the queue.
        """
        self._board.note(job.id)
        try:
            with self._board.attempt(job) as hearing, self._underway.attempt(job) as mark:
                await self._try(job, hearing, mark)
        except asyncio.CancelledError:
            # Of a job that has ended meanwhile, this does nothing.
            await finish(self._give_back(job))
            raise

    async def blame(self, job: Job) -> None:
        """Note that the daemon died while it worked on a job: an attempt that failed as others do."""
        await self._failed(job, ServerDied("the server died while it worked on this recording"))
        self._underway.forget(job.id)

    def end(self, job: Job, transcript: Transcript | None = None) -> None:
        """Tell everybody who wants to know that a job has ended."""
        self._board.note(job.id)
        wall_s = (job.completed_at - job.created_at).total_seconds() if job.completed_at else None
        _log(
            logging.INFO,
            job.status,
            job,
            outcome=job.status,
            error_code=job.error.code if job.error else None,
            audio_s=job.audio_duration_s,
            wall_s=wall_s,
        )
        self._ended(job, transcript)

    # ---- steps -----------------------------------------------------------------------------------

    async def _try(self, job: Job, hearing: Hearing, mark: Callable[[], None]) -> None:
        try:
            with needing_room():
                if job.source.digest is None:
                    mark()
                    return await self._fetch(job, hearing)
                transcript = await self._answer(job, hearing, mark)
        except DeadlineExceeded:
            await self._failed(job, late())
        except WhisperdError as error:
            await self._failed(job, error)
        except Exception:
            logger.exception("an attempt failed in the server", extra=fields(job_id=job.id))
            await self._failed(job, EngineError("the server failed at this recording"))
        else:
            await self._complete(job, transcript)

    async def _answer(self, job: Job, hearing: Hearing, mark: Callable[[], None]) -> Transcript:
        hearing.begin(job)
        async with self._laid_out(job) as audio:
            return await self._service.process(self._request(job, audio), Marking(hearing, mark))

    async def _fetch(self, job: Job, hearing: Hearing) -> None:
        """Fetch the recording and keep it, so that no other attempt need."""
        hearing.fetching()
        if job.source.url is None:
            raise MediaError("the recording is no longer kept")
        await self._retention.make_room()
        async with self._fetcher.recording(job.source.url) as path, self._recordings.keep(path) as digest:
            source = replace(job.source, digest=digest, size=path.stat().st_size)
            await self._noted(lambda: self._store.fetched(job.id, job.attempts, source))
        self._board.note(job.id)

    @contextlib.asynccontextmanager
    async def _laid_out(self, job: Job) -> AsyncIterator[Path]:
        """The kept recording, in a directory of the spool where what is made of it may lie beside it."""
        kept = self._recordings.path(job.source.digest or "")
        with contextlib.ExitStack() as stack:
            audio = stack.enter_context(self._spool.directory()) / "recording"
            audio.symlink_to(kept)
            if not audio.is_file():
                raise MediaError("the recording is no longer kept")
            try:
                yield audio
            finally:
                # What was decoded of hours takes a while to be removed.
                await finish(asyncio.to_thread(stack.close))

    def _request(self, job: Job, audio: Path) -> Request:
        left_s: float = self._live.current.jobs.deadline
        if job.deadline:
            left_s = max(0.0, (job.deadline - self._now()).total_seconds())
        request = job.work.request(audio)
        client = job.key_id or job.owner
        return replace(request, priority=job.priority, deadline_s=left_s, patient=True, client=client)

    # ---- what came of it -------------------------------------------------------------------------

    async def _complete(self, job: Job, transcript: Transcript) -> None:
        completed = await self._noted(
            lambda: self._store.complete(job.id, job.attempts, transcript, at=self._now())
        )
        if completed:
            self.end(completed, transcript)

    async def _failed(self, job: Job, error: WhisperdError) -> None:
        now = self._now()
        if isinstance(error, Unavailable):
            # Of this machine, now: the recording is not to blame.
            due_at = now + datetime.timedelta(seconds=max(error.retry_after_s or 0, self._first_pause_s))
            _log(logging.INFO, "waits", job, outcome="waits", error_code=error.code, reason=error.message)
            await self._noted(lambda: self._store.release(job.id, job.attempts, due_at=due_at))
            self._board.note(job.id)
            return
        failure = cause(error, now)
        _log(
            logging.WARNING,
            "attempt failed",
            job,
            outcome="failed",
            error_code=failure.code,
            reason=failure.message,
        )
        if failure.retryable and job.attempts < self._live.current.jobs.attempts:
            pause_s = min(_LONGEST_PAUSE_S, self._first_pause_s * 2 ** (job.attempts - 1))
            due_at = now + datetime.timedelta(seconds=pause_s)
            await self._noted(lambda: self._store.retry(job.id, job.attempts, failure, due_at=due_at))
            self._board.note(job.id)
        elif failed := await self._noted(lambda: self._store.fail(job.id, job.attempts, failure)):
            self.end(failed)

    async def _give_back(self, job: Job) -> None:
        try:
            await self._store.release(job.id, job.attempts)
        except Unavailable as error:
            logger.warning(
                "a job stays taken until a restart: %s", error.message, extra=fields(job_id=job.id)
            )
        self._board.note(job.id)

    async def _noted(self, step: Callable[[], Awaitable[Job | None]]) -> Job | None:
        """Take a step of the store's, when the disk has room again: what was worked for is not given up."""
        while True:
            try:
                return await step()
            except Unavailable as error:
                logger.warning("%s; trying again in %g s", error.message, self._first_pause_s)
                await asyncio.sleep(self._first_pause_s)


def _log(level: int, what: str, job: Job, **more: object) -> None:
    logger.log(
        level,
        "job %s: %s",
        job.id,
        what,
        extra=fields(job_id=job.id, job_type=job.type, attempt=job.attempts, **more),
    )


def late() -> DeadlineExceeded:
    """That a job was not done in time."""
    return DeadlineExceeded("the job's deadline passed before it was done")


def cause(error: WhisperdError, at: datetime.datetime) -> JobError:
    """An error as it stands in the job."""
    blames_caller = isinstance(error, RequestError | DeadlineExceeded)
    return JobError(code=error.code, message=error.message, retryable=not blames_caller, at=at)
