"""The only door from `web/` to the engine: one request in, one answer out."""

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from whisperd import __version__
from whisperd.config.live import Live
from whisperd.errors import DeadlineExceeded, Draining, EngineError, NotReady, ParameterError, QueueFull
from whisperd.lane import Lane
from whisperd.offer import Offer
from whisperd.pipeline import Listener, Pipeline
from whisperd.protocol import (
    AnyJob,
    AnyResult,
    DiarizeSetup,
    Encoded,
    Kind,
    MixJob,
    PadJob,
    TranscribeSetup,
    Translated,
    TranslateJob,
)
from whisperd.scheduler import Role, Scheduler, device_of
from whisperd.status import Status, Tally, WorkerStatus
from whisperd.transcript.model import Notice, Request, Transcript

Result = TypeVar("Result", bound=AnyResult)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What this daemon was started with, as far as callers see it."""

    model: str
    device: str
    device_name: str | None
    diarization: str | None
    """The pipeline's name; None when it is switched off."""
    notes: tuple[Notice, ...] = ()


class Service:
    """Answers requests with the scheduler's workers."""

    def __init__(
        self,
        live: Live,
        scheduler: Scheduler,
        offer: Offer,
        serving: Serving,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.draining = False
        self.tally = Tally()
        self._live = live
        self._scheduler = scheduler
        self._offer = offer
        self._serving = serving
        self._clock = clock
        self._pipeline = Pipeline(scheduler, clock=clock)
        # Writing recordings takes minutes, and those that are only to be decoded must not wait for it.
        self._encoding = asyncio.Semaphore(max(1, scheduler.lanes["decode"].slots - 1))
        self._started = clock()
        self._aborted = False
        self._requests: set[asyncio.Timeout] = set()
        """Those being worked on, each by its deadline."""
        self._idle = asyncio.Event()
        self._idle.set()

    # ---- what can be done ------------------------------------------------------------------------

    def check(self, request: Request) -> None:
        """Raise RequestError for what is wrong with a request whatever its recording is."""
        self._settled(request)

    async def process(self, request: Request, listener: Listener | None = None) -> Transcript:
        """Tell what was said in a recording, or by whom. Cancelling the task frees the engine.

        Raises RequestError for what the caller can mend, Unavailable when it can't be answered now,
        DeadlineExceeded, EngineError.
        """
        role, language = self._settled(request)
        async with self._admitted(request.deadline_s, patient=request.patient):
            answer = await self._pipeline.run(request, role, language, listener)
        setup = self._scheduler.lane(role).worker.setup
        return Transcript(
            duration=answer.duration,
            task=request.task,
            language=answer.transcribed.language,
            language_probability=answer.transcribed.language_probability,
            segments=answer.segments,
            turns=answer.diarization.turns,
            model=setup.model if isinstance(setup, TranscribeSetup | DiarizeSetup) else None,
            device=device_of(self._scheduler.lane(role)),
            compute_type=setup.compute_type if isinstance(setup, TranscribeSetup) else None,
            timings=answer.timings,
            warnings=answer.warnings,
        )

    async def translate(self, text: str, source: str, target: str, *, patient: bool = False) -> str:
        """Translate a text between two languages, given by their codes. Raises ParameterError for a pair
        that no installed model has, and what `process` raises.
        """
        role = self._offer.translation(source, target)
        translated = await self._do(role, TranslateJob([text]), Translated, patient=patient)
        return translated.texts[0]

    async def pad(self, source: Path, target: Path, silence_s: float, *, patient: bool = False) -> float:
        """Write a recording anew, after so much silence, as WebM with Opus; returns its seconds."""
        job = PadJob(str(source), str(target), silence_s)
        return await self._encode(job, patient=patient)

    async def mix(
        self,
        sources: Sequence[Path],
        target: Path,
        delays_s: Sequence[float],
        sample_rate_hz: int | None,
        *,
        patient: bool = False,
    ) -> float:
        """Mix recordings, each after its delay, to one MP3; returns its seconds."""
        job = MixJob([str(source) for source in sources], str(target), list(delays_s), sample_rate_hz)
        return await self._encode(job, patient=patient)

    async def unload(self, kind: Kind) -> list[str]:
        """End the workers of a kind that nobody needs now; returns their models. The next request for one
        starts it again.
        """
        return await self._scheduler.unload(kind)

    async def _encode(self, job: PadJob | MixJob, *, patient: bool) -> float:
        encoded = await self._do(Role("decode"), job, Encoded, patient=patient, turn=self._encoding)
        return encoded.duration_s

    async def _do(
        self,
        role: Role,
        job: AnyJob,
        expected: type[Result],
        *,
        patient: bool,
        turn: AbstractAsyncContextManager[object] | None = None,
    ) -> Result:
        async with self._admitted(None, patient=patient), turn or contextlib.nullcontext():
            result = await self._scheduler.run(role, job)
        if not isinstance(result, expected):
            raise EngineError(f"the {role.kind} worker answered with {type(result).__name__}")
        return result

    # ---- admission -------------------------------------------------------------------------------

    @property
    def active(self) -> int:
        """Requests being worked on or waiting."""
        return len(self._requests)

    def abort(self) -> None:
        """End every request now; their callers are told that the server was stopped."""
        self._aborted = True
        now = asyncio.get_running_loop().time()
        for deadline in self._requests:
            deadline.reschedule(now)

    async def idle(self) -> None:
        """Wait until no request is being worked on."""
        await self._idle.wait()

    @contextlib.asynccontextmanager
    async def _admitted(self, deadline_s: float | None, *, patient: bool) -> AsyncIterator[None]:
        """Let a request in, for as long as it may take; a patient one waits where another is refused."""
        if self.draining:
            raise Draining("the server is shutting down")
        if not patient:
            self._check_room()
        allowed_s = self._live.current.limits.wait if deadline_s is None else deadline_s
        deadline = asyncio.timeout(allowed_s)
        self._requests.add(deadline)
        self._idle.clear()
        self.tally.queued += 1
        try:
            async with deadline:
                if patient:
                    await self._scheduler.ready()
                yield
        except TimeoutError as error:
            if self._aborted:
                raise Draining("the server was stopped before the answer was ready") from error
            raise DeadlineExceeded(f"no answer within {allowed_s:g} seconds") from error
        finally:
            self._requests.discard(deadline)
            self.tally.processed += 1
            self.tally.last_processed_at = datetime.datetime.now(datetime.UTC)
            if not self._requests:
                self._idle.set()

    def _check_room(self) -> None:
        if reason := self._scheduler.unready():
            raise NotReady(f"not ready: {reason}")
        limit = self._live.current.limits.waiting
        if (waiting := self._waiting()) >= limit:
            raise QueueFull(f"{waiting} requests are waiting already; the limit is {limit}")

    def _settled(self, request: Request) -> tuple[Role, str | None]:
        """Who answers the request, and the language that is spoken; None detects it."""
        self._check_speakers(request)
        role = self._offer.transcription(request) if request.text else Role("diarize")
        language = self._language(request)
        self._check_language(request, role, language)
        return role, language

    def _check_speakers(self, request: Request) -> None:
        if request.speakers and self._serving.diarization is None:
            raise ParameterError("this server was configured without diarization", param="diarize")

    def _check_language(self, request: Request, role: Role, language: str | None) -> None:
        """Refuse a language that the model does not know; where it is not loaded yet, the engine does."""
        if not request.text:
            return
        known = self._scheduler.lane(role).worker.languages or self._offer.languages(role)
        wanted = [language] if language else request.languages
        if known and (unknown := [code for code in wanted if code not in known]):
            raise ParameterError(
                f"the model {role.model or self._serving.model} does not know the language {unknown[0]!r}; "
                f"it knows: {', '.join(sorted(known))}",
                param="language",
            )

    def _language(self, request: Request) -> str | None:
        """The language's code, None to detect it."""
        language = request.language
        if language is None and not (request.languages or request.multilingual):
            language = self._live.current.transcribe.language
        return None if language == "auto" else language

    # ---- what can be asked for -------------------------------------------------------------------

    def status(self) -> Status:
        """The state of the service, now."""
        reason = "the daemon is stopping" if self.draining else self._scheduler.unready()
        waiting = self._waiting()
        return Status(
            ready=reason is None,
            reason=reason,
            draining=self.draining,
            version=__version__,
            uptime_s=self._clock() - self._started,
            running=self.active - waiting,
            waiting=waiting,
            workers=[self._worker_status(lane) for lane in self._scheduler.all_lanes()],
            notes=list(self._serving.notes),
        )

    def models(self) -> tuple[str, ...]:
        """Whisper models that a request may ask for, the main one first."""
        return self._offer.models()

    def _waiting(self) -> int:
        """Requests beyond those that the transcription worker takes at once."""
        return max(0, self.active - self._scheduler.lanes["transcribe"].slots)

    def _worker_status(self, lane: Lane) -> WorkerStatus:
        worker = lane.worker
        setup = worker.setup
        device = device_of(lane) if worker.kind != "decode" else None
        return WorkerStatus(
            kind=worker.kind,
            state=lane.state,
            message=worker.message,
            model=getattr(setup, "model", None),
            device=device,
            device_name=self._serving.device_name if device and device.startswith("cuda") else None,
            compute_type=setup.compute_type if isinstance(setup, TranscribeSetup) else None,
            pid=worker.pid,
            rss_bytes=worker.rss_bytes,
            restarts=worker.restarts,
            running=lane.running,
            waiting=lane.waiting,
        )
