"""Who is embedded for whom, on chunks that are made up: 10 s in 100 frames, one each second."""

import numpy as np
from numpy.typing import NDArray

from whisperd.engine.representatives import REACH, representatives

STEP = 10


def chunks(*voices: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """What each chunk hears of voices that talk on one time axis."""
    heard = np.stack(voices, axis=1)
    count = (len(heard) - 100) // STEP + 1
    return np.stack([heard[STEP * n : STEP * n + 100] for n in range(count)]).astype(np.uint8)


def voice(length: int, *stretches: tuple[int, int]) -> NDArray[np.bool_]:
    talks = np.zeros(length, bool)
    for start, end in stretches:
        talks[start:end] = True
    return talks


def own(chosen: NDArray[np.int64], talking: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Who is embedded himself."""
    himself: NDArray[np.bool_] = chosen.ravel() == np.arange(chosen.size)
    return himself & talking.any(axis=1).ravel()


def test_one_who_goes_on_talking_is_embedded_now_and_then() -> None:
    talking = chunks(voice(500, (0, 500)))
    chosen = representatives(talking, STEP)
    assert own(chosen, talking).sum() < len(talking) / REACH
    assert (abs(chosen.ravel() - np.arange(len(talking))) <= REACH).all()


def test_whoever_stands_for_somebody_stands_for_himself() -> None:
    generator = np.random.default_rng(0)
    talking = (generator.random((30, 10, 3)).repeat(10, axis=1) < 0.4).astype(np.uint8)
    chosen = representatives(talking, STEP).ravel()
    assert (chosen[chosen] == chosen).all()


def test_a_voice_is_found_though_its_place_among_the_speakers_changes() -> None:
    """Each chunk numbers its speakers by itself."""
    talking = chunks(voice(130, (0, 60), (110, 130)), voice(130, (60, 110)))
    talking[1] = talking[1][:, ::-1]
    chosen = representatives(talking, STEP)
    assert chosen[1, 0] == chosen[0, 1]
    assert chosen[1, 1] == chosen[0, 0]


def test_nobody_stands_for_one_who_says_something_else() -> None:
    # They share 90 frames; both talk in 50 of the 80 in which either does.
    talking = chunks(voice(110, (10, 90)))
    talking[1, 50:] = 0
    assert own(representatives(talking, STEP), talking).tolist() == [True, True]


def test_only_the_time_that_two_chunks_share_counts() -> None:
    """What is said before the later one began, it can't hear."""
    talking = chunks(voice(110, (0, 60), (100, 110)))
    assert own(representatives(talking, STEP), talking).sum() == 1


def test_one_who_is_silent_where_another_talks_is_not_stood_for() -> None:
    talking = chunks(voice(130, (0, 130)), voice(130))
    chosen = representatives(talking, STEP)
    assert (chosen[:, 1] == np.arange(len(talking)) * 2 + 1).all()


def test_chunks_beyond_the_reach_are_embedded_each_by_itself() -> None:
    talking = np.zeros((2 * REACH + 4, 100, 1), np.uint8)
    talking[[0, REACH + 1]] = 1
    assert own(representatives(talking, STEP), talking).sum() == 2
