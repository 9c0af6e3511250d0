"""What was said in a chunk, as segments of the recording."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from whisperd.engine.attempts import Decoded
from whisperd.engine.chunks import Chunk
from whisperd.engine.features import FRAMES_PER_S
from whisperd.engine.passages import Passage
from whisperd.engine.words import AlignedWord
from whisperd.transcript.model import Segment, Word


@dataclass(frozen=True, slots=True)
class Said:
    """A passage's text, and its words once they are aligned."""

    passage: Passage
    text: str
    words: list[AlignedWord] = field(default_factory=list)


def segments(decoded: Decoded, said: Iterable[Said], chunk: Chunk) -> Iterator[Segment]:
    """One for each that is more than white space; every time lies inside the recording.

    What takes no time was not said: so the alignment finds texts that the decoder made up.
    """
    for each in said:
        if each.text.strip():
            segment = _segment(decoded, each, chunk)
            if segment.start < segment.end:
                yield segment


def merged(told: Iterable[Segment], more: Sequence[Segment]) -> list[Segment]:
    """All in order; a segment on both sides of what comes in between is split there."""
    if not more:
        return list(told)
    at = more[0].start
    parts = [part for segment in told for part in _split(segment, at)]
    return sorted([*parts, *more], key=lambda segment: segment.start)


def _split(segment: Segment, at: float) -> list[Segment]:
    before = [word for word in segment.words if word.start < at]
    after = segment.words[len(before) :]
    if not before or not after:
        return [segment]
    return [
        replace(
            segment,
            start=words[0].start,
            end=max(word.end for word in words),
            text="".join(word.text for word in words),
            words=words,
            # No token can be told to belong to a word; in one place they still sum to the recording's.
            tokens=segment.tokens if words is before else [],
        )
        for words in (before, after)
    ]


def _segment(decoded: Decoded, said: Said, chunk: Chunk) -> Segment:
    words = []
    for word in said.words:
        start, end = _rounded(chunk.span(word.start, max(word.start, word.end)))
        words.append(Word(word.text, start, end, round(word.probability, 4)))
    start, end = _rounded(chunk.stretch(said.passage.start, said.passage.end))
    return Segment(
        id=0,
        # The words' own times are finer than the passage's, which come from Whisper's timestamp tokens.
        start=words[0].start if words else start,
        end=max(word.end for word in words) if words else end,
        text=said.text,
        words=words,
        seek=round(chunk.start * FRAMES_PER_S),
        tokens=list(said.passage.tokens),
        temperature=decoded.temperature,
        avg_logprob=round(decoded.avg_logprob, 5),
        compression_ratio=round(decoded.compression_ratio, 4),
        no_speech_prob=round(decoded.no_speech_prob, 6),
    )


def _rounded(span: tuple[float, float]) -> tuple[float, float]:
    return round(span[0], 3), round(span[1], 3)
