"""One recording's way to its transcript: chunks into the queue, segments out of what comes back, in order."""

import itertools
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.vad import VadOptions

from whisperd.engine import Cancelled, Progress
from whisperd.engine.attempts import TEMPERATURES, Attempts
from whisperd.engine.chunks import Audio, Chunk, chunks
from whisperd.engine.features import FRAMES_PER_S, WINDOW, Mel, fitted, mel, voice_end
from whisperd.engine.recognition import Encoded, Hearing, Recognizer, Spoken, Transcribing
from whisperd.engine.segments import segments
from whisperd.protocol import Transcribed, TranscribeJob
from whisperd.transcript.align import in_order
from whisperd.transcript.model import Segment

_OPENING: Final = 4
"""Chunks by which the language is told."""
_SURE: Final = 0.7
"""Probability from which on a language is believed that was heard in fitted windows."""
_POLL_S: Final = 0.05
"""How often a cancellation is looked for."""
_STILL_THERE_S: Final = 5.0
"""How often a recording that waits for its turn says so, as long as others get theirs."""
_LEAKED_WORDS: Final = 6
"""So many words of the prompt in a row are not said by chance."""
_FEWEST_LEAKED_WORDS: Final = 3

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A chunk that is ready for the model."""

    chunk: Chunk
    features: Mel
    encoded: Encoded | None = None
    hinted: bool = True
    """Whether prompt and hotwords go with it."""
    rest: bool = False
    """Whether it is what another chunk left over: of that only a text is told that needs no second try."""

    @property
    def context(self) -> int:
        return fitted(self.features.shape[1])


class Transcription:
    """One job, in a thread of its own."""

    def __init__(
        self,
        job: TranscribeJob,
        recording: Audio,
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
        self._ahead = ahead
        self._progress = progress
        self._cancelled = cancelled
        self._line = recognizer.queue.enter()
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
        prepared = self._prepared()
        if language is None:
            opening = list(itertools.islice(prepared, _OPENING))
            if not opening:
                return Transcribed(None, None, [])
            language, probability, opening = self._hear(opening)
            prepared = itertools.chain(opening, prepared)
        found = []
        for segment in in_order(self._segments(prepared, language)):
            found.append(segment)
            self._tell(segment.end, segment)
            if self._cancelled():
                raise Cancelled
        if not found and self._job.language is None and len(self._job.languages) != 1:
            # What the model hears in a recording without speech means nothing.
            return Transcribed(None, None, [])
        return Transcribed(language, probability, found)

    # ---- in --------------------------------------------------------------------------------------

    def _prepared(self) -> Iterator[_Prepared]:
        for chunk in chunks(self._recording, self._detection):
            yield self._prepare(chunk)

    def _prepare(self, chunk: Chunk) -> _Prepared:
        return _Prepared(chunk, mel(self._extractor, chunk.audio(self._recording)))

    def _hear(self, opening: Sequence[_Prepared]) -> tuple[str, float, list[_Prepared]]:
        """The likeliest language of the recording, its probability, and the same chunks encoded."""
        probabilities, encoded = self._probabilities(opening, [each.context for each in opening])
        if max(probabilities.values()) < _SURE:
            probabilities, _ = self._probabilities(opening, [WINDOW] * len(opening))
        language = max(self._job.languages or probabilities, key=lambda code: probabilities.get(code, 0.0))
        kept = [replace(each, encoded=rows) for each, rows in zip(opening, encoded, strict=True)]
        return language, probabilities.get(language, 0.0), kept

    def _probabilities(
        self, opening: Sequence[_Prepared], contexts: Sequence[int]
    ) -> tuple[dict[str, float], list[Encoded]]:
        """Of each language, by how long it would be spoken; and the encoded chunks."""
        works = [
            Hearing(line=self._line, features=each.features, context=context)
            for each, context in zip(opening, contexts, strict=True)
        ]
        self._recognizer.queue.put(self._line, *works)
        heard = [self._wait(work.done) for work in works]
        total = sum(each.chunk.duration for each in opening)
        probabilities: dict[str, float] = {}
        for each, answer in zip(opening, heard, strict=True):
            for code, share in answer.probabilities.items():
                part = share * each.chunk.duration / total
                probabilities[code] = probabilities.get(code, 0.0) + part
        return probabilities, [answer.encoded for answer in heard]

    def _work(self, prepared: _Prepared, language: str) -> Transcribing:
        job = self._job
        hints = {"text": job.prompt, "hotwords": job.hotwords} if prepared.hinted else {}
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
            words=job.words,
            detected=self._detection is not None,
            attempts=Attempts(
                temperatures=(job.temperature,) if job.temperature else ladder,
                fitted=prepared.context < WINDOW,
                duration=prepared.features.shape[1] / FRAMES_PER_S,
                voice_end=voice_end(prepared.features),
            ),
        )

    # ---- out -------------------------------------------------------------------------------------

    def _segments(self, prepared: Iterator[_Prepared], language: str) -> Iterator[Segment]:
        """Those of all chunks. So many are in the queue that the model never waits, and no more."""
        waiting: deque[tuple[_Prepared, Transcribing]] = deque()
        number = itertools.count()
        while True:
            while len(waiting) < self._ahead and not (waiting and waiting[0][1].done.done()):
                if (each := next(prepared, None)) is None:
                    break
                work = self._work(each, language)
                self._recognizer.queue.put(self._line, work)
                waiting.append((each, work))
            if not waiting:
                return
            each, work = waiting.popleft()
            spoken = self._wait(work.done)
            again = self._again(each, spoken)
            told = not (each.rest and spoken.decoded.failed)
            if told and (again is None or again.chunk is not each.chunk):
                yield from segments(spoken.decoded, spoken.said, each.chunk, number)
            if again:
                work = self._work(again, language)
                self._recognizer.queue.put_first(self._line, work)
                waiting.appendleft((again, work))

    def _again(self, each: _Prepared, spoken: Spoken) -> _Prepared | None:
        """What of a chunk is to be decoded once more: all without hints that were repeated, or a rest."""
        hints = (self._job.prompt, self._job.hotwords) if each.hinted else ()
        if any(_repeats(spoken.decoded.text, hint) for hint in hints if hint):
            return replace(each, encoded=None, hinted=False)
        if spoken.rest is None or (each.rest and spoken.decoded.failed):
            return None
        return replace(self._prepare(each.chunk.after(spoken.rest)), hinted=each.hinted, rest=True)

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


def _repeats(text: str, hint: str) -> bool:
    """Whether the decoder printed what it was only to bear in mind."""
    said, hinted = (re.findall(r"\w+", each.casefold()) for each in (text, hint))
    length = min(len(hinted), _LEAKED_WORDS)
    if length < _FEWEST_LEAKED_WORDS:
        return False
    runs = {tuple(hinted[start : start + length]) for start in range(len(hinted) - length + 1)}
    return any(tuple(said[start : start + length]) in runs for start in range(len(said) - length + 1))
