"""How far it can be told when an answer will be there."""

import random

import pytest

from whisperd.foresight import Foresight


def after(*ratios: float) -> Foresight:
    foresight = Foresight()
    for ratio in ratios:
        note(foresight, ratio)
    return foresight


def factor(foresight: Foresight) -> float:
    return foresight.latest_s(10) / 10


def note(foresight: Foresight, ratio: float) -> None:
    """An answer that came before the next forecast."""
    foresight.note(10, foresight.expected_s(10), 10 * ratio)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.4])
def test_a_third_of_the_time_is_always_kept(ratio: float) -> None:
    assert factor(after(*[ratio] * 300)) == 1.5


def test_at_first_as_much_may_go_wrong_with_what_is_done_soon() -> None:
    assert Foresight().latest_s(1) == pytest.approx(2)
    assert Foresight().latest_s(4) == pytest.approx(6)
    assert Foresight().latest_s(100) == 150


def test_what_always_takes_longer_is_expected_to() -> None:
    assert factor(after(*[2.5] * 300)) == pytest.approx(2.5, abs=0.01)


def test_while_the_machine_slows_down_nobody_comes_late_who_is_let_in() -> None:
    """Answers come 30 forecasts later, in which the speed goes down to a third and stays there."""
    foresight = Foresight()
    promised: list[tuple[float, float]] = []
    for moment in range(900):
        ratio = 1 + 2 * min(1.0, max(0.0, (moment - 300) / 300))
        promised.append((foresight.expected_s(10), foresight.latest_s(10)))
        if moment >= 30:
            expected_s, latest_s = promised[moment - 30]
            assert 10 * ratio <= latest_s
            foresight.note(10, expected_s, 10 * ratio)


def test_no_answer_is_later_than_what_varies_lets_expect() -> None:
    chance = random.Random(1)
    ratios = [chance.uniform(0.6, 1.6) for _ in range(300)]
    later = chance.choices(ratios, k=200)
    most = factor(after(*ratios))
    assert most < 2.3
    assert not any(ratio > most for ratio in later)


def test_one_answer_that_is_very_late_is_forgotten() -> None:
    late = after(*[1.0] * 50, 5.0)
    assert factor(late) > 1.5
    for _ in range(100):
        note(late, 1)
    assert factor(late) == 1.5
