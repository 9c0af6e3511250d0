"""A clock that jumps, by days and years, while the daemon works; time that passes goes on as it did."""

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from running import eventually, models_installed

from faults.victim import Victim, answered, ask, hand_in, readiness, tracebacks

pytestmark = pytest.mark.engine

LIBRARIES = Path("/usr/lib")


class Clock:
    """The time of day that the daemon is told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set("+0")

    def set(self, offset: str) -> None:
        """Such as `+10d`."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{offset}\n", encoding="ascii")
        new.replace(self.path)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
def daemon(tmp_path: Path, clock: Clock) -> Iterator[Victim]:
    models_installed("tiny.en")
    library = next(LIBRARIES.glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("needs Debian's package faketime")
    settings = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock.path),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "WATCHDOG_USEC": "20000000",
    }
    with Victim(tmp_path, settings) as daemon:
        yield daemon


def submit(daemon: Victim) -> str:
    reply = hand_in(daemon)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def ended(daemon: Victim, job_id: str) -> Any:
    return httpx.get(f"{daemon.url}/v1/jobs/{job_id}", params={"wait": "60"}, timeout=90).json()["status"]


def told_time(daemon: Victim) -> str:
    return str(httpx.get(f"{daemon.url}/health").json()["timestamp"])


@pytest.mark.parametrize("offset", ["+3650d", "-3650d"])
def test_a_request_that_is_under_way_is_answered_and_the_next_one_too(
    daemon: Victim, clock: Clock, offset: str
) -> None:
    before = told_time(daemon)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        reply = thread.submit(ask, daemon)
        for _ in eventually():
            if daemon.health()["running"]:
                break
        clock.set(offset)
        assert answered(reply.result())
    assert abs(int(told_time(daemon)[:4]) - int(before[:4])) >= 9
    assert answered(ask(daemon))
    fed = len(daemon.notifications)
    daemon.wait_for_notification("WATCHDOG=1", after=fed)
    assert readiness(daemon) == (200, None)
    assert daemon.restarts("transcribe") == 0
    assert not tracebacks(daemon)


def test_jobs_are_done_while_the_clock_goes_back_and_a_wrong_one_holds_nothing_up(
    daemon: Victim, clock: Clock
) -> None:
    clock.set("+3650d")
    assert ended(daemon, submit(daemon)) == "completed"
    daemon.order("no-memory once")  # its second attempt is due ten years on
    put_off = submit(daemon)
    for _ in eventually():
        if "attempt failed" in daemon.log() or "waits" in daemon.log():
            break
    clock.set("+0")
    assert ended(daemon, put_off) == "completed"
    assert ended(daemon, submit(daemon)) == "completed"
    assert not tracebacks(daemon)
