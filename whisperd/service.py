"""The only door from `web/` to the engine: one request in, one answer out."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from whisperd import __version__
from whisperd.admission import Admission
from whisperd.config.live import Live
from whisperd.errors import EngineError, ParameterError, RequestError
from whisperd.lane import Lane
from whisperd.offer import Offer
from whisperd.pipeline import Listener, Pipeline
from whisperd.pool import Pool
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
from whisperd.scheduler import Role, Scheduler
from whisperd.status import QueueStatus, Status, WorkerStatus
from whisperd.transcript.model import Notice, Request, Transcript

Result = TypeVar("Result", bound=AnyResult)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What this daemon was started with, as far as callers see it."""

    model: str
    device: str
    """`cpu`, `cuda:0`, or several with commas between them."""
    device_names: Mapping[str, str] = field(default_factory=dict)
    """The cards' names, by `cuda:0`."""
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
        self._admission = Admission(live, scheduler, clock=clock)
        self.tally = self._admission.tally
        self._live = live
        self._scheduler = scheduler
        self._offer = offer
        self._serving = serving
        self._clock = clock
        self._pipeline = Pipeline(scheduler, clock=clock)
        # Writing recordings takes minutes, and those that are only to be decoded must not wait for it.
        self._encoding = asyncio.Semaphore(max(1, scheduler.pool(Role("decode")).slots - 1))
        self._started = clock()

    # ---- what can be done ------------------------------------------------------------------------

    def check(self, request: Request) -> None:
        """Raise RequestError for what is wrong with a request whatever its recording is."""
        self._settled(request)

    def check_room(self, request: Request) -> None:
        """Raise what `process` would raise if it were called now, for want of room alone: what is wrong with
        the request is told by `process`, which sees all of it. A patient request has room at any time.
        """
        if request.patient:
            return
        try:
            role, _ = self._settled(request)
        except RequestError:
            return
        self._admission.check(
            _roles(request, role),
            deadline_s=request.deadline_s,
            priority=request.priority,
            client=request.client,
        )

    def check_room_for_any(self, client: str) -> None:
        """Raise what `process` would raise now for whatever this client asked that is not patient."""
        self._admission.check(client=client)

    async def process(self, request: Request, listener: Listener | None = None) -> Transcript:
        """Tell what was said in a recording, or by whom. Cancelling the task frees the engine.

        Raises RequestError for what the caller can mend, Unavailable when it can't be answered now,
        DeadlineExceeded, EngineError.
        """
        role, language = self._settled(request)
        async with self._admission.admitted(
            _roles(request, role),
            deadline_s=request.deadline_s,
            priority=request.priority,
            client=request.client,
            patient=request.patient,
        ) as admit:
            answer = await self._pipeline.run(request, role, language, listener, admit)
        worker = answer.lane.worker if answer.lane else None
        setup = worker.setup if worker else None
        return Transcript(
            duration=answer.duration,
            task=request.task,
            language=answer.transcribed.language,
            language_probability=answer.transcribed.language_probability,
            segments=answer.segments,
            turns=answer.diarization.turns,
            model=setup.model if isinstance(setup, TranscribeSetup | DiarizeSetup) else None,
            device=worker.device if worker else None,
            compute_type=setup.compute_type if isinstance(setup, TranscribeSetup) else None,
            timings=answer.timings,
            warnings=[*answer.warnings, *self._unheard(request, role, language)],
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
        async with self._admission.admitted(patient=patient), turn or contextlib.nullcontext():
            result = await self._scheduler.run(role, job)
        if not isinstance(result, expected):
            raise EngineError(f"the {role.kind} worker answered with {type(result).__name__}")
        return result

    # ---- admission -------------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """Whether nothing new is let in."""
        return self._admission.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._admission.draining = draining

    @property
    def active(self) -> int:
        """Requests being worked on or waiting."""
        return self._admission.active

    def abort(self) -> None:
        """End every request now; their callers are told that the server was stopped."""
        self._admission.abort()

    async def idle(self) -> None:
        """Wait until no request is being worked on."""
        await self._admission.idle()

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
        known = self._known_languages(role)
        wanted = [language] if language else request.languages
        if known and (unknown := [code for code in wanted if code not in known]):
            raise ParameterError(
                f"the model {role.model or self._serving.model} does not know the language {unknown[0]!r}; "
                f"it knows: {', '.join(sorted(known))}",
                param="language" if language else "languages",
            )

    def _known_languages(self, role: Role) -> frozenset[str] | None:
        """The languages of a model; empty or None while nothing tells them."""
        return self._scheduler.pool(role).languages or self._offer.languages(role)

    def _unheard(self, request: Request, role: Role, language: str | None) -> Iterator[Notice]:
        """What was asked for in vain: as with `auto`, it is no mistake that there is no choice."""
        if not request.text or language or not request.multilingual:
            return
        possible = frozenset(request.languages) or self._known_languages(role) or ()
        if len(possible) == 1:
            [code] = possible
            yield Notice(
                "parameter_ignored", f"multilingual has no effect here: the language can only be {code!r}"
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
        waiting = self._admission.waiting
        return Status(
            ready=reason is None,
            reason=reason,
            draining=self.draining,
            version=__version__,
            uptime_s=self._clock() - self._started,
            running=self.active - waiting,
            waiting=waiting,
            workers=[
                self._worker_status(lane, pool.waiting)
                for pool in self._scheduler.pools()
                for lane in pool.lanes
            ],
            queues=[_queue_status(pool) for pool in self._scheduler.pools() if pool.has_lengths],
            notes=[*self._serving.notes, *self._scheduler.lost()],
        )

    def models(self) -> tuple[str, ...]:
        """Whisper models that a request may ask for, the main one first."""
        return self._offer.models()

    def _worker_status(self, lane: Lane, waiting: int) -> WorkerStatus:
        worker = lane.worker
        setup = worker.setup
        return WorkerStatus(
            kind=worker.kind,
            state=lane.state,
            message=worker.message,
            model=getattr(setup, "model", None),
            device=worker.device,
            device_name=self._serving.device_names.get(worker.device or ""),
            compute_type=setup.compute_type if isinstance(setup, TranscribeSetup) else None,
            pid=worker.pid,
            rss_bytes=worker.rss_bytes,
            restarts=worker.restarts,
            renewals=worker.renewals,
            running=lane.running,
            waiting=waiting,
        )


def _roles(request: Request, role: Role) -> set[Role]:
    """Who works on the request's recording, where `role` answers it."""
    return {role, Role("diarize")} if request.speakers else {role}


def _queue_status(pool: Pool) -> QueueStatus:
    worker = pool.lanes[0].worker
    audio_s, speed = pool.work_s, pool.speed
    return QueueStatus(
        kind=worker.kind,
        model=getattr(worker.setup, "model", ""),
        running=pool.running,
        waiting=pool.waiting,
        audio_s=round(audio_s, 3),
        speed=round(speed, 3),
        wait_s=round(audio_s / speed, 3),
    )
