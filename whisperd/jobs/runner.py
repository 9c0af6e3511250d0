"""Works on jobs: takes the next, has it done, and notes what came of it.

Whatever happens between two steps, the store knows how far a job has come; a step of an attempt that it has
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
    Unavailable,
    WhisperdError,
)
from whisperd.jobs.audio import Recordings
from whisperd.jobs.board import Board, Hearing
from whisperd.jobs.model import Job, JobError
from whisperd.jobs.retention import Retention
from whisperd.jobs.store import Store
from whisperd.journal import fields
from whisperd.media.disk import finish, needing_room
from whisperd.media.fetch import Fetcher
from whisperd.media.spool import Spool
from whisperd.service import Service
from whisperd.tasks import scoped
from whisperd.transcript.model import Request, Transcript

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 10.0
"""After the first failed attempt; each one after that is twice as long as the one before."""
_LONGEST_PAUSE_S: Final = 600.0
_LOOK_S: Final = 30.0
"""The queue is looked at so often even if nobody says that there is something new."""

Ended = Callable[[Job, Transcript | None], None]


class Runner:
    """Has so many jobs worked on at once."""

    def __init__(
        self,
        live: Live,
        store: Store,
        recordings: Recordings,
        board: Board,
        retention: Retention,
        *,
        spool: Spool,
        fetcher: Fetcher,
        service: Service,
        running: int,
        ended: Ended,
        now: Callable[[], datetime.datetime],
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._live = live
        self._store = store
        self._recordings = recordings
        self._board = board
        self._retention = retention
        self._spool = spool
        self._fetcher = fetcher
        self._service = service
        self._running = running
        self._ended = ended
        self._now = now
        self._first_pause_s = first_pause_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
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

    async def run(self) -> None:
        """Work until cancelled; then what runs goes back to the queue at once."""
        try:
            while True:
                self._woken.clear()
                try:
                    while len(self._tasks) < self._running and await self._take():
                        pass
                    wait_s = await self._idle_s()
                except Unavailable as error:
                    logger.warning("no job can be taken: %s", error.message)
                    wait_s = self._first_pause_s
                except Exception:
                    logger.exception("no job can be taken; trying again in %g s", self._first_pause_s)
                    wait_s = self._first_pause_s
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
        error = _error(_late(), now)
        failed = []
        try:
            for job in await self._store.overdue(at=now):
                if ended := await self._store.fail(job.id, job.attempts, error):
                    failed.append(ended)  # noqa: PERF401 - a failure must not lose those before it
        finally:
            for job in failed:
                await self.stop(job.id)
                self.end(job)

    # ---- taking ----------------------------------------------------------------------------------

    async def _take(self) -> bool:
        """Begin with the next job; False when there is none that is due."""
        async with self._claiming:
            job = await self._store.claim(at=self._now())
            if job is None:
                return False
            task = asyncio.create_task(self._work(job))
            self._tasks[job.id] = task
        task.add_done_callback(lambda task: self._done(job, task))
        return True

    async def _idle_s(self) -> float:
        """How long there is nothing to do if nobody says so."""
        if len(self._tasks) >= self._running or (due := await self._store.next_due()) is None:
            return _LOOK_S
        return min(_LOOK_S, max(0.0, (due - self._now()).total_seconds()))

    def _done(self, job: Job, task: asyncio.Task[None]) -> None:
        if self._tasks.get(job.id) is task:  # not yet the next attempt's
            del self._tasks[job.id]
        if not task.cancelled() and (error := task.exception()):
            logger.error(
                "can't note what came of a job; it is taken up again after a restart",
                exc_info=error,
                extra=fields(job_id=job.id),
            )
        self.wake()

    # ---- one attempt -----------------------------------------------------------------------------

    async def _work(self, job: Job) -> None:
        self._board.note(job.id)
        try:
            with self._board.attempt(job) as hearing:
                await self._try(job, hearing)
        except asyncio.CancelledError:
            # Of a job that has ended meanwhile, this does nothing.
            await finish(self._give_back(job))
            raise

    async def _try(self, job: Job, hearing: Hearing) -> None:
        try:
            with needing_room():
                transcript = await self._answer(job, hearing)
        except DeadlineExceeded:
            await self._failed(job, _late())
        except WhisperdError as error:
            await self._failed(job, error)
        except Exception:
            logger.exception("an attempt failed in the server", extra=fields(job_id=job.id))
            await self._failed(job, EngineError("the server failed at this recording"))
        else:
            await self._complete(job, transcript)

    async def _answer(self, job: Job, hearing: Hearing) -> Transcript:
        if job.source.digest is None:
            hearing.fetching()
            job = await self._fetch(job)
        hearing.begin(job)
        async with self._laid_out(job) as audio:
            return await self._service.process(self._request(job, audio), hearing)

    async def _fetch(self, job: Job) -> Job:
        """Fetch the recording and keep it, so that another attempt need not."""
        if job.source.url is None:
            raise MediaError("the recording is no longer kept")
        await self._retention.make_room()
        async with self._fetcher.recording(job.source.url) as path, self._recordings.keep(path) as digest:
            source = replace(job.source, digest=digest, size=path.stat().st_size)
            fetched = await self._noted(lambda: self._store.fetched(job.id, job.attempts, source))
        if fetched is None:
            raise asyncio.CancelledError  # it has ended: whoever ended it is about to stop us
        self._board.note(job.id)
        return fetched

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
        work = job.work
        left_s: float = self._live.current.jobs.deadline
        if job.deadline:
            left_s = max(0.0, (job.deadline - self._now()).total_seconds())
        return Request(
            audio=audio,
            text=work.text,
            task=work.task,
            language=work.language,
            languages=work.languages,
            detection=work.detection,
            words=work.words,
            speakers=work.speakers,
            hints=work.hints,
            model=work.model,
            prompt=work.prompt,
            hotwords=work.hotwords,
            temperature=work.temperature,
            beam_size=work.beam_size,
            priority=job.priority,
            deadline_s=left_s,
            patient=True,
        )

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
        cause = _error(error, now)
        _log(
            logging.WARNING,
            "attempt failed",
            job,
            outcome="failed",
            error_code=cause.code,
            reason=cause.message,
        )
        if cause.retryable and job.attempts < self._live.current.jobs.attempts:
            pause_s = min(_LONGEST_PAUSE_S, self._first_pause_s * 2 ** (job.attempts - 1))
            due_at = now + datetime.timedelta(seconds=pause_s)
            await self._noted(lambda: self._store.retry(job.id, job.attempts, cause, due_at=due_at))
            self._board.note(job.id)
        elif failed := await self._noted(lambda: self._store.fail(job.id, job.attempts, cause)):
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


def _log(level: int, what: str, job: Job, **more: object) -> None:
    logger.log(
        level,
        "job %s: %s",
        job.id,
        what,
        extra=fields(job_id=job.id, job_type=job.type, attempt=job.attempts, **more),
    )


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the job's deadline passed before it was done")


def _error(error: WhisperdError, at: datetime.datetime) -> JobError:
    blames_caller = isinstance(error, RequestError | DeadlineExceeded)
    return JobError(code=error.code, message=error.message, retryable=not blames_caller, at=at)
