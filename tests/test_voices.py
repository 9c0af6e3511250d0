"""Who is known by the voice: what is heard of each speaker alone, and who gets which name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from whisperd.engine.voices import Embedding, alone, embed, recognize, rename
from whisperd.transcript.model import Turn

RATE_HZ = 16_000


# ---- what is heard of each ------------------------------------------------------------------------


def test_a_speaker_is_heard_alone_where_nobody_else_talks() -> None:
    turns = [Turn(0, 4, "A"), Turn(3, 6, "B"), Turn(4.5, 5, "C"), Turn(6, 7, "A"), Turn(8, 9, "B")]
    assert alone(turns) == {"A": [(0, 3), (6, 7)], "B": [(4, 4.5), (5, 6), (8, 9)]}


def test_who_is_always_talked_over_is_never_heard_alone() -> None:
    assert alone([Turn(0, 4, "A"), Turn(0, 4, "B")]) == {}
    assert alone([]) == {}


class Network:
    """Answers with a given vector, and remembers the speech."""

    def __init__(self, *vector: float) -> None:
        self.speech = np.zeros(0)
        self._vector = vector

    def __call__(self, waveforms: Any) -> Any:
        self.speech = waveforms[0, 0].numpy()
        return np.array([self._vector], np.float32)


def test_the_longest_stretches_are_embedded_first_and_not_more_than_enough() -> None:
    seconds = np.repeat(np.arange(60, dtype=np.float32), RATE_HZ)
    network = Network(3, 4)
    found = embed(network, seconds, [(0, 5), (10, 30), (40, 58)])
    assert found is not None
    assert np.allclose(found, [0.6, 0.8])
    assert np.array_equal(network.speech[::RATE_HZ], [*range(10, 30), *range(40, 50)])


@pytest.mark.parametrize("stretches", [[], [(0, 0.2), (1, 1.29)], [(1.6, 3)]])
def test_too_little_speech_is_no_voice(stretches: list[tuple[float, float]]) -> None:
    assert embed(Network(1, 0), np.ones(2 * RATE_HZ, np.float32), stretches) is None


@pytest.mark.parametrize("vector", [(np.nan, 1), (0, 0)])
def test_what_the_network_makes_nothing_of_is_no_voice(vector: tuple[float, float]) -> None:
    assert embed(Network(*vector), np.ones(RATE_HZ, np.float32), [(0, 1)]) is None


# ---- who gets which name --------------------------------------------------------------------------


def at(degrees: float) -> Embedding:
    """A voice; those of two angles are alike by the cosine of what lies between."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


LEAST = 0.5
"""60 degrees."""


@pytest.mark.parametrize(
    ("speakers", "known", "names"),
    [
        ({"S0": 0, "S1": 90}, {"Ann": 85, "Bob": 10}, {"S0": "Bob", "S1": "Ann"}),
        ({"S0": 0, "S1": 90}, {"Ann": 10}, {"S0": "Ann"}),
        ({"S0": 0, "S1": 90}, {"Ann": 180}, {}),
        ({"S0": 0, "S1": 30}, {"Ann": 20}, {"S1": "Ann"}),
        ({"S0": 0}, {"Ann": 10, "Bob": 5}, {"S0": "Bob"}),
        # 0 is surely Ann's; Bob's would fit it too, and Ann's is nearer than nothing to the stranger at 50.
        ({"S0": 0, "S1": 50}, {"Ann": 0, "Bob": -15}, {"S0": "Ann"}),
        ({}, {"Ann": 0}, {}),
        ({"S0": 0}, {}, {}),
    ],
)
def test_the_most_alike_come_first_and_strangers_stay_strangers(
    speakers: Mapping[str, float], known: Mapping[str, float], names: Mapping[str, str]
) -> None:
    voices = [(name, at(degrees)) for name, degrees in known.items()]
    assert recognize({label: at(degrees) for label, degrees in speakers.items()}, voices, LEAST) == names


def test_a_name_with_several_voices_is_given_once_by_the_best_of_them() -> None:
    voices = [("Ann", at(0)), ("Ann", at(90))]
    assert recognize({"S0": at(20), "S1": at(80)}, voices, LEAST) == {"S1": "Ann"}


def test_renamed_turns_stay_in_order() -> None:
    turns = [Turn(0, 1, "S0"), Turn(0, 1, "S1"), Turn(2, 3, "S0")]
    assert rename(turns, {"S0": "Zoe"}) == [Turn(0, 1, "S1"), Turn(0, 1, "Zoe"), Turn(2, 3, "Zoe")]
