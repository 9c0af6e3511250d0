"""The stages of one request: decode once, then transcription and diarization side by side.

Requests for the same file, which is one that was fetched once for all of them, share its decoding.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec import structs

from whisperd.errors import EngineError, MediaError, ParameterError
from whisperd.journal import fields
from whisperd.lane import Lane
from whisperd.life import Progress
from whisperd.protocol import (
    SAMPLE_RATE_HZ,
    AnyJob,
    AnyResult,
    Decoded,
    DecodeJob,
    Diarized,
    DiarizeJob,
    Event,
    Transcribed,
    TranscribeJob,
    Voice,
)
from whisperd.scheduler import Role, Scheduler
from whisperd.tasks import scoped
from whisperd.transcript.align import align
from whisperd.transcript.model import Diarization, Notice, Request, Segment, Timings

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears what becomes of a request on the way."""

    def decoded(self, duration_s: float) -> None:
        """The recording can be read, and is so long."""

    def moved(self, position_s: float) -> None:
        """The slowest stage has reached this position in the recording."""

    def heard(self, segment: Segment) -> None:
        """A segment is there; its speaker is told only at the end."""


Result = TypeVar("Result", bound=AnyResult)
One = TypeVar("One")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the stages found."""

    duration: float
    """Seconds."""
    transcribed: Transcribed
    segments: list[Segment]
    """With speakers, where they were asked for and found."""
    diarization: Diarization
    timings: Timings
    warnings: list[Notice]
    lane: Lane | None
    """Who found the text, or the speakers where no text was asked for."""


class Pipeline:
    """Runs the stages on the scheduler's workers."""

    def __init__(self, scheduler: Scheduler, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._decodings: dict[Path, _Decoding] = {}

    async def run(
        self,
        request: Request,
        role: Role,
        language: str | None,
        listener: Listener | None,
        admit: Callable[[float], None],
    ) -> Answer:
        """Answer one request, whose worker for text and whose `language` are settled (None detects it).

        `admit` is told the recording's seconds as soon as they are known, and may refuse it. Raises what it
        raises, MediaError for bytes that are no recording, EngineError.
        """
        started = self._clock()
        async with self._decoded(request.audio, request) as (decoded, decode):
            admit(decoded.samples / SAMPLE_RATE_HZ)
            if listener:
                listener.decoded(decoded.samples / SAMPLE_RATE_HZ)
            answer = await self._answer(request, role, language, listener, decoded)
        timings = structs.replace(
            answer.timings,
            queued_s=decode.queued_s + answer.timings.queued_s,
            decode_s=decode.wall_s,
            total_s=self._clock() - started,
        )
        return replace(answer, timings=timings)

    async def _answer(
        self,
        request: Request,
        role: Role,
        language: str | None,
        listener: Listener | None,
        decoded: Decoded,
    ) -> Answer:
        warnings = []
        if decoded.truncated:
            warnings.append(
                Notice(
                    "audio_truncated", "the recording is damaged or cut off; this is what could be decoded"
                )
            )
        slowest = _Slowest(request.text + request.speakers, listener)
        (transcribed, transcribe), (outcome, diarize) = await _both(
            self._transcribe(request, role, language, decoded, slowest),
            self._diarize(request, decoded, slowest),
        )
        diarization = Diarization([], [])
        if isinstance(outcome, Diarized):
            diarization = outcome.diarization
        elif request.text:
            # The text is worth having without the speakers.
            logger.warning("diarization failed: %s", outcome.message, extra=fields(code=outcome.code))
            warnings.append(Notice("diarization_failed", f"no speakers: {outcome.message}"))
        else:
            raise outcome
        # A long recording's words would hold up the event loop.
        segments = await asyncio.to_thread(align, transcribed.segments, diarization)
        warnings += _doubts(segments, transcribed.dropped)
        return Answer(
            duration=decoded.samples / SAMPLE_RATE_HZ,
            transcribed=transcribed,
            segments=segments,
            diarization=diarization,
            timings=Timings(
                queued_s=max(transcribe.queued_s, diarize.queued_s),
                transcribe_s=transcribe.wall_s,
                diarize_s=diarize.wall_s,
            ),
            warnings=warnings,
            lane=transcribe.lane or diarize.lane,
        )

    async def _transcribe(
        self, request: Request, role: Role, language: str | None, decoded: Decoded, slowest: "_Slowest"
    ) -> "tuple[Transcribed, _Stage]":
        if not request.text:
            return Transcribed(None, None, []), _Stage(self._clock)
        job = _transcribe_job(request, decoded, language)
        return await self._stage(role, job, Transcribed, request, slowest.follow())

    async def _diarize(
        self, request: Request, decoded: Decoded, slowest: "_Slowest"
    ) -> "tuple[Diarized | EngineError, _Stage]":
        """The failure is an outcome here: what it costs depends on whether there is text."""
        if not request.speakers:
            return Diarized(Diarization([], [])), _Stage(self._clock)
        progress = slowest.follow()
        async with contextlib.AsyncExitStack() as stack:
            voices = []
            for known in request.known_speakers:
                try:
                    voice, _ = await stack.enter_async_context(self._decoded(known.audio, request))
                except MediaError as error:
                    raise ParameterError(
                        f"the recording of the known speaker {known.name!r}: {error.message}",
                        param="known_speakers",
                    ) from error
                voices.append(Voice(known.name, str(_decoded_name(known.audio)), voice.samples))
            audio = str(_decoded_name(request.audio))
            job = DiarizeJob(audio, decoded.samples, request.hints, voices)
            try:
                return await self._stage(Role("diarize"), job, Diarized, request, progress)
            except EngineError as error:
                return error, _Stage(self._clock)

    async def _stage(
        self,
        role: Role,
        job: AnyJob,
        expected: type[Result],
        request: Request,
        progress: Progress | None = None,
    ) -> "tuple[Result, _Stage]":
        stage = _Stage(self._clock)
        result = await self._scheduler.run(
            role, job, progress, stage.begin, priority=request.priority, client=request.client
        )
        stage.end()
        if not isinstance(result, expected):
            raise EngineError(f"the {role.kind} worker answered with {type(result).__name__}")
        return result, stage

    @contextlib.asynccontextmanager
    async def _decoded(self, source: Path, request: Request) -> "AsyncIterator[tuple[Decoded, _Stage]]":
        """The decoded recording, for as long as the context is open."""
        decoding = self._decodings.get(source)
        if decoding is None:
            job = DecodeJob(str(source), str(_decoded_name(source)))
            stage = asyncio.create_task(self._stage(Role("decode"), job, Decoded, request))
            decoding = self._decodings[source] = _Decoding(stage)
        decoding.holders += 1
        try:
            # Shielded, because others may wait for it too.
            yield await asyncio.shield(decoding.stage)
        finally:
            decoding.holders -= 1
            if not decoding.holders:
                del self._decodings[source]
                decoding.stage.cancel()
                await asyncio.wait([decoding.stage])


@dataclass(slots=True)
class _Decoding:
    """A recording that is decoded, or was, and how many requests need it."""

    stage: "asyncio.Task[tuple[Decoded, _Stage]]"
    holders: int = 0


async def _both(one: Coroutine[Any, Any, One], other: Coroutine[Any, Any, Other]) -> tuple[One, Other]:
    """Side by side; when one fails, the other is not waited for."""
    first, second = asyncio.create_task(one), asyncio.create_task(other)
    async with scoped(first, second):
        return await asyncio.gather(first, second)


def _decoded_name(source: Path) -> Path:
    return source.with_name(f"{source.name}.f32")


def _transcribe_job(request: Request, decoded: Decoded, language: str | None) -> TranscribeJob:
    return TranscribeJob(
        audio=str(_decoded_name(request.audio)),
        samples=decoded.samples,
        task=request.task,
        language=language,
        languages=list(request.languages),
        detection=request.detection,
        words=request.words or request.speakers,
        prompt=request.prompt,
        hotwords=request.hotwords,
        temperature=request.temperature or None,
        beam_size=request.beam_size,
        priority=request.priority,
        multilingual=request.multilingual,
        condition_on_previous_text=request.condition_on_previous_text,
        drop_doubted=request.drop_doubted,
    )


def _doubts(segments: Sequence[Segment], dropped: int) -> Iterator[Notice]:
    """Text that may be made up is nothing to be silent about, and nor is text that is missing."""
    doubted = [segment.doubts for segment in segments if segment.doubts]
    if doubted:
        reasons = ", ".join(dict.fromkeys(itertools.chain.from_iterable(doubted)))
        share = f"{len(doubted)} of {len(segments)}"
        yield Notice("text_doubted", f"segments that may not be what was said: {share} ({reasons})")
    if dropped:
        yield Notice("text_dropped", f"segments left out because they may not be what was said: {dropped}")


class _Stage:
    """The clock of one stage of one request."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked = clock()
        self.queued_s = 0.0
        self.wall_s = 0.0
        self.lane: Lane | None = None
        """Who does it."""

    def begin(self, lane: Lane) -> None:
        """Its turn has come."""
        self.lane = lane
        self.queued_s = self._clock() - self._asked

    def end(self) -> None:
        """Done."""
        self.wall_s = self._clock() - self._asked - self.queued_s


class _Slowest:
    """Merges the progress of stages that run side by side: tells the position that all have reached."""

    def __init__(self, stages: int, listener: Listener | None) -> None:
        self._missing = stages
        self._positions: list[float] = []
        self._listener = listener
        self._segments = 0

    def follow(self) -> Progress:
        """A callback for one more stage."""
        number = len(self._positions)
        self._positions.append(0.0)

        def told(event: Event) -> None:
            if self._listener is None:
                return
            self._positions[number] = event.position_s
            if len(self._positions) == self._missing:
                self._listener.moved(min(self._positions))
            # A job that is done once more, after its worker's death, tells its first segments again.
            if event.segment and event.segment.id == self._segments:
                self._segments += 1
                self._listener.heard(event.segment)

        return told
