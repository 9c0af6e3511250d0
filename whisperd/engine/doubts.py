"""What speaks against a text: evidence that a decoder has made it up."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from faster_whisper.transcribe import get_compression_ratio

from whisperd.engine.attempts import DOUBTED, NO_SPEECH, REPEATED
from whisperd.engine.coverage import Span
from whisperd.engine.repeats import plain_words
from whisperd.transcript.model import Doubt, Segment

_SAME_WORDS: Final = 4
"""One to four words so often in a row are a loop; a single one has to come twice as often."""
_LONGEST_RUN: Final = 4
_UNSURE: Final = 0.25
"""Mean probability of a segment's words below which the sound does not bear them out."""
_VOICED_SHARE: Final = 0.1
"""Less of a segment's time than this in speech is none."""
_LIKELY_NO_SPEECH: Final = -0.5
"""Average log-probability below which a text is doubted that was decoded where no speech is likely."""


def doubts(segment: Segment, speech: Iterable[Span] | None) -> list[Doubt]:
    """All that apply, in the order of the type; `speech` is where a detector hears it, None is not known."""
    return list(_doubts(segment, speech))


def _doubts(segment: Segment, speech: Iterable[Span] | None) -> Iterator[Doubt]:
    if get_compression_ratio(segment.text) > REPEATED or loops(segment.text):
        yield "repeated"
    probabilities = [word.probability for word in segment.words]
    unsure = bool(probabilities) and sum(probabilities) / len(probabilities) < _UNSURE
    if segment.avg_logprob < DOUBTED or unsure:
        yield "improbable"
    if segment.no_speech_prob > NO_SPEECH and segment.avg_logprob < _LIKELY_NO_SPEECH:
        yield "no_speech"
    if speech is not None and not _voiced(segment, speech):
        yield "no_voice"


def loops(text: str) -> bool:
    """Whether the same few words come over and over."""
    words = plain_words(text)
    return any(_runs(words, size) for size in range(1, _LONGEST_RUN + 1))


def _runs(words: Sequence[str], size: int) -> bool:
    most = 2 * _SAME_WORDS if size == 1 else _SAME_WORDS
    same = (words[at] == words[at + size] for at in range(len(words) - size))
    return any(equal and sum(1 for _ in run) >= size * (most - 1) for equal, run in itertools.groupby(same))


def _voiced(segment: Segment, speech: Iterable[Span]) -> bool:
    shared = sum(max(0.0, min(segment.end, end) - max(segment.start, start)) for start, end in speech)
    return shared > _VOICED_SHARE * (segment.end - segment.start)
