"""Words x speakers: gives each word the speaker who said it, and each segment one speaker."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from whisperd.transcript.model import Diarization, Segment, Turn, Word


def align(segments: Sequence[Segment], diarization: Diarization) -> list[Segment]:
    """Label `segments` by who spoke, split where the speaker changes, and number them anew.

    A word goes to the speaker whose exclusive turns cover most of it, and outside all turns to the nearest
    one; the earlier speaker wins a tie. A segment without words is labelled as if it were one word. Times
    come out in order, as `in_order` makes them. Without turns the segments keep their speakers.
    """
    ordered = list(in_order(segments))
    turns = sorted(diarization.exclusive, key=lambda turn: turn.start)
    if not turns:
        return ordered
    spans = itertools.chain.from_iterable(_spans(segment) for segment in ordered)
    speakers = _speakers(spans, turns)
    pieces = itertools.chain.from_iterable(_pieces(segment, speakers) for segment in ordered)
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


def _speakers(spans: Iterable[Word | Segment], turns: Sequence[Turn]) -> Iterator[str]:
    """The speaker of each span. Both are sorted by start and turns don't overlap, so this is one merge."""
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
            yield max(said, key=lambda speaker: said[speaker])
        else:
            yield _nearest(span, turns[max(0, first - 1) : first + 1]).speaker


def _nearest(span: Word | Segment, neighbours: Sequence[Turn]) -> Turn:
    return min(neighbours, key=lambda turn: max(turn.start - span.end, span.start - turn.end))


def _pieces(segment: Segment, speakers: Iterator[str]) -> Iterator[Segment]:
    """One segment for each run of words by one speaker. Takes from `speakers` one for each word."""
    if not segment.words:
        yield replace(segment, speaker=next(speakers))
        return
    labelled = [replace(word, speaker=next(speakers)) for word in segment.words]
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
