"""The stages of one request: decode once, then transcription and diarization side by side."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from whisperd.errors import EngineError
from whisperd.journal import fields
from whisperd.protocol import (
    SAMPLE_RATE_HZ,
    AnyJob,
    AnyResult,
    Decoded,
    DecodeJob,
    Diarized,
    DiarizeJob,
    Event,
    Kind,
    Transcribed,
    TranscribeJob,
)
from whisperd.scheduler import Scheduler
from whisperd.transcript.align import align
from whisperd.transcript.model import Diarization, Notice, Request, Segment, Timings
from whisperd.worker import Progress

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears what becomes of a request on the way."""

    def moved(self, position_s: float) -> None:
        """The slowest stage has reached this position in the recording."""

    def heard(self, segment: Segment) -> None:
        """A segment is there; its speaker is told only at the end."""


Result = TypeVar("Result", bound=AnyResult)


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


class Pipeline:
    """Runs the stages on the scheduler's workers."""

    def __init__(self, scheduler: Scheduler, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._scheduler = scheduler
        self._clock = clock

    async def run(self, request: Request, language: str | None, listener: Listener | None) -> Answer:
        """Answer one request, whose `language` is settled (None detects it).

        Raises MediaError for bytes that are no recording, EngineError.
        """
        started = self._clock()
        audio = request.audio.with_name("decoded.f32")
        decoded, decode = await self._stage("decode", DecodeJob(str(request.audio), str(audio)), Decoded)
        warnings = []
        if decoded.truncated:
            warnings.append(
                Notice(
                    "audio_truncated", "the recording is damaged or cut off; this is what could be decoded"
                )
            )
        slowest = _Slowest(request.text + request.speakers, listener)
        transcribed, transcribe = Transcribed(None, None, []), _Stage(self._clock)
        diarization, diarize = Diarization([], []), _Stage(self._clock)
        speakers = (
            asyncio.create_task(self._diarize(request, audio, decoded, slowest.follow()))
            if request.speakers
            else None
        )
        try:
            if request.text:
                job = _transcribe_job(request, audio, decoded, language)
                transcribed, transcribe = await self._stage("transcribe", job, Transcribed, slowest.follow())
            if speakers:
                outcome, diarize = await speakers
                if isinstance(outcome, Diarized):
                    diarization = outcome.diarization
                elif request.text:
                    # The text is worth having without the speakers.
                    logger.warning("diarization failed: %s", outcome.message, extra=fields(code=outcome.code))
                    warnings.append(Notice("diarization_failed", f"no speakers: {outcome.message}"))
                else:
                    raise outcome
        finally:
            if speakers and not speakers.done():
                speakers.cancel()
                await asyncio.wait([speakers])
        # A long recording's words would hold up the event loop.
        segments = await asyncio.to_thread(align, transcribed.segments, diarization)
        return Answer(
            duration=decoded.samples / SAMPLE_RATE_HZ,
            transcribed=transcribed,
            segments=segments,
            diarization=diarization,
            timings=Timings(
                queued_s=decode.queued_s + max(transcribe.queued_s, diarize.queued_s),
                decode_s=decode.wall_s,
                transcribe_s=transcribe.wall_s,
                diarize_s=diarize.wall_s,
                total_s=self._clock() - started,
            ),
            warnings=warnings,
        )

    async def _diarize(
        self, request: Request, audio: Path, decoded: Decoded, progress: Progress
    ) -> "tuple[Diarized | EngineError, _Stage]":
        """The failure is an outcome here: what it costs depends on whether there is text."""
        job = DiarizeJob(str(audio), decoded.samples, request.hints)
        try:
            return await self._stage("diarize", job, Diarized, progress)
        except EngineError as error:
            return error, _Stage(self._clock)

    async def _stage(
        self, kind: Kind, job: AnyJob, expected: type[Result], progress: Progress | None = None
    ) -> "tuple[Result, _Stage]":
        stage = _Stage(self._clock)
        result = await self._scheduler.run(kind, job, progress, stage.begin)
        stage.end()
        if not isinstance(result, expected):
            raise EngineError(f"the {kind} worker answered with {type(result).__name__}")
        return result, stage


def _transcribe_job(request: Request, audio: Path, decoded: Decoded, language: str | None) -> TranscribeJob:
    return TranscribeJob(
        audio=str(audio),
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
    )


class _Stage:
    """The clock of one stage of one request."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked = clock()
        self.queued_s = 0.0
        self.wall_s = 0.0

    def begin(self) -> None:
        """Its turn has come."""
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
