"""How far it can be told when an answer will be there."""

import random

import pytest

from whisperd.foresight import Foresight


def after(*ratios: float) -> Foresight:
    foresight = Foresight()
    for ratio in ratios:
        foresight.note(10, 10 * ratio)
    return foresight


def test_the_first_forecasts_are_believed_by_half_and_more_when_they_come_true() -> None:
    assert Foresight().factor == 1.5
    assert after(*[1.0] * 50).factor < 1.05


def test_what_always_takes_longer_is_expected_to() -> None:
    assert after(*[1.5] * 300).factor == pytest.approx(1.5, abs=0.01)


def test_answers_that_come_early_let_nobody_in_who_would_come_late() -> None:
    assert after(*[0.5] * 300).factor == 1


def test_no_answer_is_later_than_what_varies_lets_expect() -> None:
    chance = random.Random(1)
    ratios = [chance.uniform(0.6, 1.6) for _ in range(300)]
    later = chance.choices(ratios, k=200)
    factor = after(*ratios).factor
    assert factor < 2.3
    assert not any(ratio > factor for ratio in later)


def test_one_answer_that_is_very_late_is_forgotten() -> None:
    late = after(*[1.0] * 50, 5.0)
    assert late.factor > 1.5
    for _ in range(100):
        late.note(10, 10)
    assert late.factor < 1.05
