"""From the alignment of tokens with sound to words with times that look like speech."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from faster_whisper.transcribe import merge_punctuations

from whisperd.engine.passages import Passage

_OPENING: Final = "\"'“¿([{-"
_CLOSING: Final = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 - Chinese and Japanese have their own
_SENTENCE_ENDS: Final = tuple(".。!！?？")  # noqa: RUF001
_USUAL_S: Final = 0.7
"""A word is never taken for usual that lasts longer."""
_TOLERANCE_S: Final = 0.5
"""A word that reaches further out of its passage was drawn there by a pause."""


@dataclass(slots=True)
class AlignedWord:
    """A word, in seconds of its chunk."""

    text: str
    start: float
    end: float
    probability: float
    tokens: int
    """How many it is made of."""


def words(
    alignment: Sequence[dict[str, Any]], passages: Iterable[Passage], end_of_text: int
) -> Iterator[list[AlignedWord]]:
    """The words of each of a chunk's passages, from faster-whisper's alignment of all their tokens."""
    usual = _usual(alignment)
    merge_punctuations(alignment, _OPENING, _CLOSING)
    rest = iter(
        AlignedWord(
            word["word"],
            float(word["start"]),
            float(word["end"]),
            float(word["probability"]),
            len(word["tokens"]),
        )
        for word in alignment
        if word["word"]
    )
    for passage in passages:
        wanted = sum(token < end_of_text for token in passage.tokens)
        found: list[AlignedWord] = []
        while wanted > 0 and (word := next(rest, None)) is not None:
            found.append(word)
            wanted -= word.tokens
        _shorten(found, passage, usual)
        yield found


def _usual(alignment: Iterable[dict[str, Any]]) -> float:
    """How long a word of this chunk lasts, in seconds."""
    durations = [float(word["end"] - word["start"]) for word in alignment if word["end"] > word["start"]]
    return min(_USUAL_S, statistics.median(durations)) if durations else 0.0


def _shorten(found: Sequence[AlignedWord], passage: Passage, usual: float) -> None:
    """Take pauses out of the words beside them: where sentences meet, and at the ends of the passage."""
    longest = 2 * usual
    for number, word in enumerate(found):
        if word.end - word.start <= longest:
            continue
        if number == 0 or found[number - 1].text.endswith(_SENTENCE_ENDS):
            word.start = word.end - longest
        elif word.text.endswith(_SENTENCE_ENDS):
            word.end = word.start + longest
    if not found:
        return
    first, last = found[0], found[-1]
    if first.start + _TOLERANCE_S < passage.start < first.end:
        first.start = min(passage.start, max(first.start, first.end - usual))
    if last.start < passage.end < last.end - _TOLERANCE_S:
        last.end = max(passage.end, min(last.end, last.start + usual))
