"""Turns by themselves: short ones, gaps, overlaps, letters."""

import random

import pytest

from whisperd.transcript.model import Turn
from whisperd.transcript.turns import Overlap, letter, letters, overlaps, without_gaps, without_short


def test_turns_shorter_than_asked_are_left_out() -> None:
    turns = [Turn(0.0, 0.25, "a"), Turn(1.0, 1.5, "b"), Turn(2.0, 3.0, "a")]
    assert without_short(turns, 0.5) == turns[1:]
    assert without_short(turns, 0.0) == turns


def test_gaps_within_one_speaker_are_closed() -> None:
    turns = [Turn(0.0, 1.0, "a"), Turn(1.5, 2.0, "a"), Turn(2.75, 3.0, "a")]
    assert without_gaps(turns, 0.5) == [Turn(0.0, 2.0, "a"), Turn(2.75, 3.0, "a")]
    assert without_gaps(turns, 1.0) == [Turn(0.0, 3.0, "a")]


def test_a_gap_in_which_somebody_else_talks_is_closed_too() -> None:
    turns = [Turn(0.0, 1.0, "a"), Turn(1.0, 1.25, "b"), Turn(1.25, 2.0, "a")]
    assert without_gaps(turns, 0.5) == [Turn(0.0, 2.0, "a"), Turn(1.0, 1.25, "b")]


def test_a_turn_within_another_of_the_same_speaker_does_not_shorten_it() -> None:
    assert without_gaps([Turn(0.0, 5.0, "a"), Turn(1.0, 2.0, "a")], 0.1) == [Turn(0.0, 5.0, "a")]


def test_turns_come_out_by_start() -> None:
    turns = [Turn(3.0, 4.0, "a"), Turn(0.0, 1.0, "b")]
    assert without_gaps(turns, 0.0) == turns[::-1]


def test_overlaps_are_told_pair_by_pair() -> None:
    turns = [Turn(0.0, 4.0, "a"), Turn(1.0, 3.0, "b"), Turn(2.0, 5.0, "c")]
    assert list(overlaps(turns)) == [
        Overlap(("a", "b"), 1.0, 3.0),
        Overlap(("a", "c"), 2.0, 4.0),
        Overlap(("b", "c"), 2.0, 3.0),
    ]


def test_turns_that_only_touch_do_not_overlap() -> None:
    assert list(overlaps([Turn(0.0, 1.0, "a"), Turn(1.0, 2.0, "b")])) == []


def test_nobody_overlaps_with_himself() -> None:
    assert list(overlaps([Turn(0.0, 2.0, "a"), Turn(1.0, 3.0, "a")])) == []


@pytest.mark.parametrize("seed", range(20))
def test_overlaps_are_those_that_comparing_all_pairs_finds(seed: int) -> None:
    chance = random.Random(seed)
    turns = [
        Turn(start, start + chance.randint(1, 12), chance.choice("abcd"))
        for start in (chance.randint(0, 60) for _ in range(40))
    ]
    expected = {
        (frozenset((one.speaker, other.speaker)), max(one.start, other.start), min(one.end, other.end))
        for one in turns
        for other in turns
        if one.speaker != other.speaker and max(one.start, other.start) < min(one.end, other.end)
    }
    found = list(overlaps(turns))
    assert {(frozenset(both), start, end) for both, start, end in found} == expected
    assert [overlap.start for overlap in found] == sorted(overlap.start for overlap in found)


def test_speakers_are_lettered_as_they_first_speak() -> None:
    turns = [Turn(2.0, 3.0, "SPEAKER_00"), Turn(0.0, 1.0, "SPEAKER_01")]
    assert letters(turns) == {"SPEAKER_01": "A", "SPEAKER_00": "B"}


@pytest.mark.parametrize(
    ("number", "name"), [(0, "A"), (25, "Z"), (26, "AA"), (27, "AB"), (701, "ZZ"), (702, "AAA")]
)
def test_letters_go_on_after_z(number: int, name: str) -> None:
    assert letter(number) == name
