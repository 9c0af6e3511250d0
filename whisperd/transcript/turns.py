"""Turns by themselves: short ones left out, gaps closed, overlaps found, speakers named by letters."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from whisperd.transcript.model import Turn


class Overlap(NamedTuple):
    """Two people talking at the same time; seconds. The one who began comes first."""

    speakers: tuple[str, str]
    start: float
    end: float


def without_short(turns: Iterable[Turn], shortest_s: float) -> list[Turn]:
    """Turns that last at least so long."""
    return [turn for turn in turns if turn.end - turn.start >= shortest_s]


def without_gaps(turns: Iterable[Turn], longest_s: float) -> list[Turn]:
    """The turns by start, with those of one speaker joined that are no further apart than this.

    Whether somebody else talks in the gap makes no difference: turns may overlap.
    """
    joined: list[Turn] = []
    last: dict[str, int] = {}
    for turn in sorted(turns, key=lambda turn: turn.start):
        place = last.get(turn.speaker)
        if place is not None and turn.start - joined[place].end <= longest_s:
            before = joined[place]
            joined[place] = Turn(before.start, max(before.end, turn.end), turn.speaker)
        else:
            last[turn.speaker] = len(joined)
            joined.append(turn)
    return joined


def overlaps(turns: Iterable[Turn]) -> Iterator[Overlap]:
    """Each pair of different speakers' turns that overlap, by start. O(n log n) and the number of pairs."""
    talking: list[tuple[float, int, Turn]] = []
    for number, turn in enumerate(sorted(turns, key=lambda turn: (turn.start, turn.end))):
        while talking and talking[0][0] <= turn.start:
            heapq.heappop(talking)
        for end, _, other in sorted(talking, key=lambda entry: entry[1]):
            if other.speaker != turn.speaker:
                yield Overlap((other.speaker, turn.speaker), turn.start, min(end, turn.end))
        heapq.heappush(talking, (turn.end, number, turn))


def letters(turns: Sequence[Turn]) -> dict[str, str]:
    """A, B, ... Z, AA, AB, ... for the speakers, in the order in which they first speak."""
    first = dict.fromkeys(turn.speaker for turn in sorted(turns, key=lambda turn: turn.start))
    return {speaker: letter(number) for number, speaker in enumerate(first)}


def letter(number: int) -> str:
    """A for 0, Z for 25, AA for 26."""
    name = ""
    while number >= 0:
        number, last = divmod(number, 26)
        name = chr(ord("A") + last) + name
        number -= 1
    return name
