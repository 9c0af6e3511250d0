"""So many requests a minute, and no more."""

import pytest

from whisperd.access.limits import Limits

BEGIN = 1_000.5
UNIX = 1_800_000_000.5


class Clock:
    """Moves when it is told to."""

    now = BEGIN

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return UNIX + self.now - BEGIN


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> Limits:
    return Limits(clock=clock.monotonic, now=clock.unix)


def test_a_key_may_send_its_rate_and_the_burst_at_once(limits: Limits) -> None:
    quotas = [limits.spend("k", 3, 2) for _ in range(7)]
    assert [quota.granted for quota in quotas] == [True] * 5 + [False] * 2


def test_what_remains_is_told_without_the_burst(limits: Limits) -> None:
    quotas = [limits.spend("k", 3, 2) for _ in range(6)]
    assert [quota.remaining for quota in quotas] == [3, 3, 2, 1, 0, 0]
    assert {quota.limit for quota in quotas} == {3}


def test_no_minute_has_more_than_its_share(limits: Limits, clock: Clock) -> None:
    granted = []
    for _ in range(1000):
        clock.now += 0.5
        if limits.spend("k", 6, 1).granted:
            granted.append(clock.now)
    assert all(later - earlier >= 60 for earlier, later in zip(granted, granted[7:], strict=False))
    assert len(granted) == 7 * 9  # 500 seconds: eight whole minutes and a ninth that has begun


def test_a_request_counts_for_a_minute(limits: Limits, clock: Clock) -> None:
    assert limits.spend("k", 1, 1).granted
    clock.now += 30
    assert limits.spend("k", 1, 1).granted
    clock.now += 29.9
    assert not limits.spend("k", 1, 1).granted
    clock.now += 0.1
    assert limits.spend("k", 1, 1).granted
    assert not limits.spend("k", 1, 1).granted


def test_a_refused_request_does_not_count(limits: Limits, clock: Clock) -> None:
    limits.spend("k", 1, 1)
    limits.spend("k", 1, 1)
    for _ in range(100):
        clock.now += 0.5
        limits.spend("k", 1, 1)
    clock.now = BEGIN + 60
    assert limits.spend("k", 1, 1).granted


def test_whoever_waits_as_told_may_go_on(limits: Limits, clock: Clock) -> None:
    limits.spend("k", 1, 1)
    clock.now += 9.7
    limits.spend("k", 1, 1)
    quota = limits.spend("k", 1, 1)
    assert quota.retry_after_s == 51
    assert quota.reset_at == int(UNIX) + 61
    clock.now += quota.retry_after_s
    assert limits.spend("k", 1, 1).granted


def test_keys_do_not_take_from_each_other(limits: Limits) -> None:
    assert not [limits.spend("a", 1, 1) for _ in range(3)][-1].granted
    assert limits.spend("b", 1, 1).granted


def test_a_new_limit_counts_at_once(limits: Limits) -> None:
    assert not [limits.spend("k", 1, 1) for _ in range(3)][-1].granted
    assert limits.spend("k", 10, 1).granted
    assert not limits.spend("k", 1, 1).granted


def test_keys_that_are_silent_are_forgotten(limits: Limits, clock: Clock) -> None:
    limits.spend("a", 1, 1)
    clock.now += 59
    limits.spend("b", 1, 1)
    clock.now += 2
    limits.forget()
    assert list(limits._sent) == ["b"]
