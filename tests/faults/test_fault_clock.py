"""A clock that jumps, by days and years, while the service works; time that passes goes on as it did.

The clock is the daemon's alone: that of a box is its host's, and workers keep theirs (see `sabotage/`).
"""

import concurrent.futures
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from boxes.box import Box
from boxes.systems import RELEASES
from running import eventually

from faults.victim import STATE, Victim, answered, ask, ended, hand_in, job, readiness, unharmed, until_busy

# The clock of a program is no business of its system's: one release will do.
pytestmark = pytest.mark.parametrize("release", RELEASES[-1:], indirect=True, scope="session")

LIBRARY = "/faketime.so"
CLOCK = f"{STATE}/clock"


class Clock:
    """The time of day that the service is told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set("+0")

    def set(self, offset: str) -> None:
        """Such as `+10d`."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{offset}\n", encoding="ascii")
        new.replace(self.path)


@pytest.fixture(scope="module")
def box(infiltrated: tuple[Path, ...], release: str) -> Iterator[Box]:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("needs Debian's package faketime")
    with Box.boot(f"fault-clock-{release}", infiltrated, read_only={library: LIBRARY}) as box:
        yield box


@pytest.fixture(autouse=True)  # the service finds it when it starts
def clock(box: Box) -> Clock:
    return Clock(box.root / CLOCK)


@pytest.fixture
def settings() -> Mapping[str, str]:
    return {
        "LD_PRELOAD": LIBRARY,
        "FAKETIME_TIMESTAMP_FILE": f"/{CLOCK}",
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def jump(victim: Victim, clock: Clock, offset: str) -> None:
    """Set the clock by years, and wait until the service has noticed."""
    before = told_year(victim)
    clock.set(offset)
    for _ in eventually():
        if abs(told_year(victim) - before) >= 9:
            return


def told_year(victim: Victim) -> int:
    return int(victim.health()["timestamp"][:4])


def watchdog_fed(victim: Victim) -> int:
    """When systemd last heard that all is well."""
    return int(victim.box.show("WatchdogTimestampMonotonic"))


@pytest.mark.parametrize("offset", ["+3650d", "-3650d"])
def test_a_request_that_is_under_way_is_answered_and_the_next_one_too(
    victim: Victim, clock: Clock, offset: str
) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        reply = thread.submit(ask, victim)
        until_busy(victim)
        jump(victim, clock, offset)
        assert answered(reply.result())
    assert answered(ask(victim))
    fed = watchdog_fed(victim)
    for _ in eventually():
        if watchdog_fed(victim) > fed:
            break
    assert readiness(victim) == (200, None)
    assert not any(worker["restarts"] for worker in victim.health()["workers"])
    assert unharmed(victim)


def test_jobs_are_done_while_the_clock_goes_back_and_a_wrong_one_holds_nothing_up(
    victim: Victim, clock: Clock
) -> None:
    jump(victim, clock, "+3650d")
    assert ended(victim, job(hand_in(victim)))["status"] == "completed"
    victim.order("no-memory")  # its second attempt is due ten years on
    put_off = job(hand_in(victim))
    for _ in eventually():
        if "attempt failed" in victim.log() or "waits" in victim.log():
            break
    jump(victim, clock, "+0")
    assert ended(victim, put_off)["status"] == "completed"
    assert ended(victim, job(hand_in(victim)))["status"] == "completed"
    assert unharmed(victim)
