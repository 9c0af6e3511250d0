"""One recording's way to its transcript: chunks into the queue, segments out of what comes back, in order."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Final, TypeVar

from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.vad import VadOptions
from msgspec import structs

from whisperd.engine import Cancelled, Progress
from whisperd.engine.attempts import TEMPERATURES, Attempts
from whisperd.engine.chunks import PACKED_S, Chunk, Recording, chunks
from whisperd.engine.coverage import Span
from whisperd.engine.doubts import doubts
from whisperd.engine.features import FRAMES_PER_S, WINDOW, mel, voice_end
from whisperd.engine.languages import Languages
from whisperd.engine.prepared import Prepared
from whisperd.engine.recognition import Recognizer
from whisperd.engine.repeats import contains, leaked
from whisperd.engine.segments import merged, segments
from whisperd.engine.voice import speaks, speech
from whisperd.engine.works import Spoken, Transcribing
from whisperd.protocol import SAMPLE_RATE_HZ, Transcribed, TranscribeJob
from whisperd.transcript.align import in_order
from whisperd.transcript.model import PRIORITIES, Segment

_OPENING: Final = 4
"""Chunks by which the language is told."""
_OF_ONE_LANGUAGE_S: Final = 10.0
"""What is packed together where the language may change."""
_FORGET_FROM: Final = 0.5
"""A text that was found at a higher temperature is no guide to what follows."""
_POLL_S: Final = 0.2
"""How often a cancellation is looked for."""
_STILL_THERE_S: Final = 5.0
"""How often a recording that waits for its turn says so, as long as others get theirs."""

Result = TypeVar("Result")


class Transcription:
    """One job, in a thread of its own."""

    def __init__(
        self,
        job: TranscribeJob,
        recording: Recording,
        *,
        recognizer: Recognizer,
        extractor: FeatureExtractor,
        detection: VadOptions | None,
        beam_size: int,
        ahead: int,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> None:
        self._job = job
        self._recording = recording
        self._recognizer = recognizer
        self._extractor = extractor
        self._detection = detection
        self._beam_size = beam_size
        self._ahead = 1 if job.condition_on_previous_text else ahead
        self._progress = progress
        self._cancelled = cancelled
        self._line = recognizer.queue.enter(PRIORITIES.index(job.priority))
        self._languages = Languages(recognizer, self._line, self._wait, job.languages)
        self._previous = ""
        self._dropped = 0
        self._position = 0.0
        self._told_at = time.monotonic()

    def run(self, language: str | None) -> Transcribed:
        """In `language`, or in the one that is heard. Raises Cancelled, or what the model raises."""
        try:
            return self._run(language)
        finally:
            self._recognizer.queue.leave(self._line)

    def _run(self, language: str | None) -> Transcribed:
        probability: float | None = 1.0
        several = language is None and (self._job.multilingual or len(self._job.languages) > 1)
        prepared = self._prepared(_OF_ONE_LANGUAGE_S if several else PACKED_S)
        if language is None:
            opening = list(itertools.islice(prepared, _OPENING))
            if not opening:
                return Transcribed(None, None, [])
            language, probability, opening = self._languages.of_recording(opening)
            prepared = itertools.chain(opening, prepared)
            if several:
                prepared = self._languages.of_each(prepared, _OPENING)
        found: list[Segment] = []
        for segment in in_order(self._segments(prepared, language)):
            numbered = structs.replace(segment, id=len(found), words=segment.words if self._job.words else [])
            found.append(numbered)
            self._tell(numbered.end, numbered)
            if self._cancelled():
                raise Cancelled
        if not found and self._job.language is None and len(self._job.languages) != 1:
            # What the model hears in a recording without speech means nothing.
            return Transcribed(None, None, [], self._dropped)
        return Transcribed(language, probability, found, self._dropped)

    # ---- in --------------------------------------------------------------------------------------

    def _prepared(self, packed_s: float) -> Iterator[Prepared]:
        for chunk in chunks(self._recording, self._detection, packed_s=packed_s):
            yield self._prepare(chunk)

    def _prepare(self, chunk: Chunk) -> Prepared:
        return Prepared(chunk, mel(self._extractor, chunk.audio(self._recording)))

    def _put(self, prepared: Prepared, language: str, *, first: bool = False) -> Transcribing:
        work = self._work(prepared, prepared.language or language)
        put = self._recognizer.queue.put_first if first else self._recognizer.queue.put
        put(self._line, work)
        return work

    def _work(self, prepared: Prepared, language: str) -> Transcribing:
        job = self._job
        hints = {"text": job.prompt, "hotwords": job.hotwords} if prepared.hinted else {}
        if job.condition_on_previous_text:
            hints["text"] = f"{hints.get('text') or ''} {self._previous}".strip()
        ladder = TEMPERATURES[:1] if prepared.rest else TEMPERATURES
        return Transcribing(
            line=self._line,
            features=prepared.features,
            context=prepared.context,
            encoded=prepared.encoded,
            language=language,
            task=job.task,
            prompt=self._recognizer.prompts.prompt(language, job.task, **hints),
            beam_size=self._beam_size,
            speech=prepared.chunk.spans if self._detection else None,
            attempts=Attempts(
                temperatures=(job.temperature,) if job.temperature else ladder,
                # What little is left over is worth one try, and no full window.
                fitted=prepared.context < WINDOW and not prepared.rest,
                duration=prepared.features.shape[1] / FRAMES_PER_S,
                voice_end=voice_end(prepared.features),
            ),
        )

    # ---- out -------------------------------------------------------------------------------------

    def _segments(self, prepared: Iterator[Prepared], language: str) -> Iterator[Segment]:
        """Those of all chunks. So many are in the queue that the model never waits, and no more."""
        waiting: deque[tuple[Prepared, Transcribing]] = deque()
        while True:
            while len(waiting) < self._ahead and not (waiting and waiting[0][1].done.done()):
                if (each := next(prepared, None)) is None:
                    break
                waiting.append((each, self._put(each, language)))
            if not waiting:
                return
            yield from self._outcome(*waiting.popleft(), language)

    def _outcome(self, each: Prepared, work: Transcribing, language: str) -> Iterator[Segment]:
        """What was said in a chunk, and in what the decoder left out of it."""
        spoken = self._wait(work.done)
        if self._prints_hints(each, spoken):
            each = replace(each, encoded=None, hinted=False)
            spoken = self._wait(self._put(each, language, first=True).done)
        told = list(segments(spoken.decoded, spoken.said, each.chunk))
        parts = (each.chunk.part(*rest) for rest in spoken.rests)
        left = [
            replace(self._prepare(part), language=each.language, hinted=False, rest=True)
            for part in parts
            if speaks(part.audio(self._recording))
        ]
        works = [self._put(rest, language, first=True) for rest in reversed(left)]
        for rest, again in zip(left, reversed(works), strict=True):
            more = list(self._rest(rest, again, language))
            if not contains(spoken.decoded.text, " ".join(segment.text for segment in more)):
                told = merged(told, more)
        yield from self._judged(told, each, language)

    def _rest(self, each: Prepared, work: Transcribing, language: str) -> Iterator[Segment]:
        """Of what a chunk left over, and what that leaves over at its end."""
        spoken = self._wait(work.done)
        if spoken.decoded.failed or spoken.decoded.silent:
            return
        yield from segments(spoken.decoded, spoken.said, each.chunk)
        for start, end in spoken.rests:
            if end >= each.chunk.duration > end - start:
                rest = replace(self._prepare(each.chunk.part(start, end)), language=each.language, rest=True)
                yield from self._rest(rest, self._put(rest, language, first=True), language)

    def _judged(self, told: Sequence[Segment], each: Prepared, language: str) -> Iterator[Segment]:
        """With all that speaks against them, and without those that are not wanted then."""
        heard = self._speech(each.chunk)
        for segment in told:
            found = doubts(segment, heard)
            if found and self._job.drop_doubted:
                self._dropped += 1
                continue
            other = each.language if each.language != language else None
            yield structs.replace(segment, doubts=found, language=other)
        if self._job.condition_on_previous_text:
            guide = told and all(segment.temperature <= _FORGET_FROM for segment in told)
            self._previous = "".join(segment.text for segment in told) if guide else ""

    def _speech(self, chunk: Chunk) -> list[Span]:
        """Where a detector hears speech, in seconds of the recording; what it took is all speech."""
        if self._detection:
            return [(piece.start / SAMPLE_RATE_HZ, piece.end / SAMPLE_RATE_HZ) for piece in chunk.pieces]
        return [chunk.stretch(*span) for span in speech(chunk.audio(self._recording))]

    def _prints_hints(self, each: Prepared, spoken: Spoken) -> bool:
        hints = (self._job.prompt, self._job.hotwords) if each.hinted else ()
        return any(leaked(hint, spoken.decoded.text) for hint in hints if hint)

    def _wait(self, done: "Future[Result]") -> Result:
        batches = self._recognizer.batches
        while not self._cancelled():
            try:
                return done.result(_POLL_S)
            except TimeoutError:
                moved = self._recognizer.batches != batches
                if moved and time.monotonic() - self._told_at > _STILL_THERE_S:
                    batches = self._recognizer.batches
                    self._tell(self._position)
        raise Cancelled

    def _tell(self, position: float, segment: Segment | None = None) -> None:
        self._position = position
        self._told_at = time.monotonic()
        self._progress(position, segment)
