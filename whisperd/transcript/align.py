"""Words x speakers: gives each word the speaker who said it, and each segment one speaker."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from whisperd.transcript.model import Diarization, Segment, Turn, Word

THIN_S: Final = 0.3
"""Of what somebody is said to say within another's sentence, his turns cover so much at least: where two
speakers meet, turns and words are rarely more exact."""

_SENTENCE_END: Final = re.compile(r"""[.!?…。！？]["'”’»)\]」』）]*\s*\Z""")  # noqa: RUF001 - all scripts' marks


class Heard(NamedTuple):
    """Who says a word, or a segment without words."""

    speaker: str
    said: Mapping[str, float]
    """The seconds of it that each speaker's turns cover."""


def align(segments: Sequence[Segment], diarization: Diarization) -> list[Segment]:
    """Label `segments` by who spoke, split where the speaker changes, and number them anew.

    A word goes to the speaker whose exclusive turns cover most of it, and outside all turns to the nearest
    one; the earlier speaker wins a tie. Then, within a sentence (or what a segment has of it), words in a row
    of which their speaker's turns cover less than `THIN_S` go to who says most of the sentence. A segment
    without words is labelled as if it were one word. Times come out in order, as `in_order` makes them.
    Without turns the segments keep their speakers.
    """
    ordered = list(in_order(segments))
    turns = sorted(diarization.exclusive, key=lambda turn: turn.start)
    if not turns:
        return ordered
    heard = _heard(itertools.chain.from_iterable(_spans(segment) for segment in ordered), turns)
    pieces = itertools.chain.from_iterable(_pieces(segment, heard) for segment in ordered)
    return [replace(piece, id=number) for number, piece in enumerate(pieces)]


def in_order(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The same segments, as they come, with times that can be relied on: start <= end, no start goes back."""
    segment_floor = word_floor = 0.0
    for segment in segments:
        words = []
        for word in segment.words:
            start = max(word.start, word_floor)
            end = max(word.end, start)
            moved = start != word.start or end != word.end
            words.append(replace(word, start=start, end=end) if moved else word)
            word_floor = start
        start = max(segment.start, segment_floor)
        if not words:
            # It stands in for a word that was not timed.
            word_floor = start = max(start, word_floor)
        end = max(segment.end, start, *(word.end for word in words))
        yield replace(segment, start=start, end=end, words=words)
        segment_floor = start


def _spans(segment: Segment) -> Sequence[Word | Segment]:
    return segment.words or [segment]


def _heard(spans: Iterable[Word | Segment], turns: Sequence[Turn]) -> Iterator[Heard]:
    """Who says each span. Both are sorted by start and turns don't overlap, so this is one merge."""
    first = 0
    for span in spans:
        while first < len(turns) and turns[first].end <= span.start:
            first += 1
        said: dict[str, float] = {}
        here = first
        while here < len(turns) and (turn := turns[here]).start < span.end:
            here += 1
            seconds = min(turn.end, span.end) - max(turn.start, span.start)
            said[turn.speaker] = said.get(turn.speaker, 0.0) + seconds
        if said:
            # max() keeps the first of equals, which is the one who spoke first.
            yield Heard(max(said, key=lambda speaker: said[speaker]), said)
        else:
            yield Heard(_nearest(span, turns[max(0, first - 1) : first + 1]).speaker, said)


def _nearest(span: Word | Segment, neighbours: Sequence[Turn]) -> Turn:
    return min(neighbours, key=lambda turn: max(turn.start - span.end, span.start - turn.end))


def _sentences(words: Iterable[Word]) -> Iterator[list[Word]]:
    sentence = []
    for word in words:
        sentence.append(word)
        if _SENTENCE_END.search(word.text):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _settled(sentence: Sequence[Heard]) -> Iterator[str]:
    """The speakers of a sentence's words: one for all of them, but for those whose evidence is not thin."""
    seconds = dict.fromkeys((word.speaker for word in sentence), 0.0)
    for word in sentence:
        for speaker, said in word.said.items():
            seconds[speaker] = seconds.get(speaker, 0.0) + said
    most = max(seconds, key=lambda speaker: seconds[speaker])
    for speaker, words in itertools.groupby(sentence, key=lambda word: word.speaker):
        run = [word.said.get(speaker, 0.0) for word in words]
        yield from [speaker if sum(run) >= THIN_S else most] * len(run)


def _pieces(segment: Segment, heard: Iterator[Heard]) -> Iterator[Segment]:
    """One segment for each run of words by one speaker. Takes from `heard` one for each word."""
    if not segment.words:
        yield replace(segment, speaker=next(heard).speaker)
        return
    labelled = [
        replace(word, speaker=speaker)
        for sentence in _sentences(segment.words)
        for word, speaker in zip(sentence, _settled([next(heard) for _ in sentence]), strict=True)
    ]
    runs = [list(run) for _, run in itertools.groupby(labelled, key=lambda word: word.speaker)]
    if len(runs) == 1:
        yield replace(segment, words=labelled, speaker=labelled[0].speaker)
        return
    for number, run in enumerate(runs):
        yield replace(
            segment,
            start=run[0].start,
            end=max(word.end for word in run),
            text="".join(word.text for word in run),
            words=run,
            speaker=run[0].speaker,
            # No token can be told to belong to a word; in one place they still sum to the recording's.
            tokens=[] if number else segment.tokens,
        )
