"""How fast work goes."""

import pytest

from whisperd.speed import Speed


def test_the_start_value_is_taken_before_anything_was_measured() -> None:
    assert Speed(12.5).value == 12.5


def test_what_is_measured_soon_outweighs_the_start_value() -> None:
    speed = Speed(1.0)
    for _ in range(60):
        speed.note(20.0, 1.0)
    assert speed.value == pytest.approx(20.0, rel=0.03)


def test_what_was_long_ago_counts_little() -> None:
    speed = Speed(10.0)
    speed.note(3000.0, 300.0)
    speed.note(600.0, 300.0)
    assert speed.value == pytest.approx(2.0, rel=0.05)


def test_a_short_job_changes_little() -> None:
    speed = Speed(10.0)
    speed.note(600.0, 60.0)
    speed.note(0.0, 0.5)
    assert 9.5 < speed.value < 10.0


def test_a_worker_that_hangs_is_not_taken_for_one_that_never_ends() -> None:
    speed = Speed(10.0)
    speed.note(0.0, 10_000.0)
    assert speed.value == pytest.approx(0.5)
