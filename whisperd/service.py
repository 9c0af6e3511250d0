"""The only door from `web/` to the engine: one request in, one transcript out."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from whisperd import __version__
from whisperd.config.live import Live
from whisperd.errors import DeadlineExceeded, Draining, NotReady, ParameterError, QueueFull, UnknownModel
from whisperd.pipeline import Listener, Pipeline
from whisperd.protocol import Kind
from whisperd.scheduler import Scheduler
from whisperd.status import Status, WorkerStatus
from whisperd.transcript.model import Notice, Request, Transcript


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What this daemon was started with, as far as callers see it."""

    model: str
    device: str
    device_name: str | None
    compute_type: str
    diarization: str | None
    """The pipeline's name; None when it is switched off."""
    diarization_device: str | None
    notes: tuple[Notice, ...] = ()


class Service:
    """Answers requests with the scheduler's workers."""

    def __init__(
        self,
        live: Live,
        scheduler: Scheduler,
        serving: Serving,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.draining = False
        self._live = live
        self._scheduler = scheduler
        self._serving = serving
        self._clock = clock
        self._pipeline = Pipeline(scheduler, clock=clock)
        self._started = clock()
        self._aborted = False
        self._requests: set[asyncio.Timeout] = set()
        """Those being worked on, each by its deadline."""
        self._idle = asyncio.Event()
        self._idle.set()

    async def process(self, request: Request, listener: Listener | None = None) -> Transcript:
        """Answer one request. Cancelling the task frees the engine.

        Raises RequestError for what the caller can mend, Unavailable when it can't be answered now,
        DeadlineExceeded, EngineError.
        """
        self._admit(request)
        deadline_s = min(self._live.current.limits.wait, request.deadline_s or float("inf"))
        deadline = asyncio.timeout(deadline_s)
        self._requests.add(deadline)
        self._idle.clear()
        try:
            async with deadline:
                answer = await self._pipeline.run(request, self._language(request), listener)
        except TimeoutError as error:
            if self._aborted:
                raise Draining("the server was stopped before the answer was ready") from error
            raise DeadlineExceeded(f"no answer within {deadline_s:g} seconds") from error
        finally:
            self._requests.discard(deadline)
            if not self._requests:
                self._idle.set()
        serving = self._serving
        return Transcript(
            duration=answer.duration,
            task=request.task,
            language=answer.transcribed.language,
            language_probability=answer.transcribed.language_probability,
            segments=answer.segments,
            turns=answer.diarization.turns,
            model=serving.model if request.text else serving.diarization,
            device=serving.device if request.text else serving.diarization_device,
            compute_type=serving.compute_type if request.text else None,
            timings=answer.timings,
            warnings=answer.warnings,
        )

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
            workers=[self._worker_status(kind) for kind in self._scheduler.lanes],
            notes=list(self._serving.notes),
        )

    def languages(self) -> frozenset[str]:
        """Language codes that the loaded model knows; empty until it is loaded."""
        return self._scheduler.lanes["transcribe"].worker.languages

    def models(self) -> tuple[str, ...]:
        """Names of the models that a request may ask for."""
        return (self._serving.model,)

    def _admit(self, request: Request) -> None:
        if self.draining:
            raise Draining("the server is shutting down")
        if reason := self._scheduler.unready():
            raise NotReady(f"not ready: {reason}")
        if request.model not in (None, self._serving.model):
            raise UnknownModel(
                f"no model {request.model!r} here; this server has {self._serving.model!r}", param="model"
            )
        languages = self.languages()
        language = self._language(request)
        if request.text and language and language not in languages:
            raise ParameterError(
                f"the model {self._serving.model} does not know the language {language!r}; "
                f"it knows: {', '.join(sorted(languages))}",
                param="language",
            )
        if request.task == "translate" and languages == {"en"}:
            raise ParameterError(
                f"the model {self._serving.model} knows only English and can't translate", param="task"
            )
        if request.speakers and self._serving.diarization is None:
            raise ParameterError("this server was configured without diarization", param="diarize")
        limit = self._live.current.limits.waiting
        if (waiting := self._waiting()) >= limit:
            raise QueueFull(f"{waiting} requests are waiting already; the limit is {limit}")

    def _language(self, request: Request) -> str | None:
        """The language's code, None to detect it."""
        language = request.language or self._live.current.transcribe.language
        return None if language == "auto" else language

    def _waiting(self) -> int:
        """Requests beyond those that the transcription worker takes at once."""
        return max(0, self.active - self._scheduler.lanes["transcribe"].slots)

    def _worker_status(self, kind: Kind) -> WorkerStatus:
        lane = self._scheduler.lanes[kind]
        worker = lane.worker
        model = {"transcribe": self._serving.model, "diarize": self._serving.diarization}.get(kind)
        device = {"transcribe": self._serving.device, "diarize": self._serving.diarization_device}.get(kind)
        return WorkerStatus(
            kind=kind,
            state=worker.state,
            message=worker.message,
            model=model,
            device=device,
            device_name=self._serving.device_name if device and device.startswith("cuda") else None,
            compute_type=self._serving.compute_type if kind == "transcribe" else None,
            pid=worker.pid,
            rss_bytes=worker.rss_bytes,
            restarts=worker.restarts,
            running=lane.running,
            waiting=lane.waiting,
        )
