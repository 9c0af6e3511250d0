"""A worker that crashes, hangs or leaks costs its clients some seconds, and nothing else."""

from collections.abc import Mapping

import pytest
from running import eventually

from faults.victim import Victim, answered, ask, metric, readiness, refused, unharmed, until_ready

RESTARTS = "whisperd_worker_restarts_total"
RENEWALS = "whisperd_worker_renewals_total"


@pytest.fixture
def settings() -> Mapping[str, str]:
    return {"WHISPERD_WORKERS__STALL_TIMEOUT": "15s", "WHISPERD_WORKERS__MEMORY_GROWTH": "300MiB"}


def test_a_worker_that_crashes_is_replaced_and_its_request_answered(victim: Victim) -> None:
    victim.order("crash")
    assert answered(ask(victim))
    assert "was killed by SIGSEGV; starting it again in 0.1 s" in victim.log()
    assert metric(victim, RESTARTS) == 1
    assert unharmed(victim)


def test_a_recording_that_crashes_two_workers_is_refused_and_the_next_one_answered(victim: Victim) -> None:
    with victim.ordered("crash"):
        assert refused(ask(victim)) == (500, "worker_died")
    assert victim.errors() == ["worker_died"]
    until_ready(victim)
    assert answered(ask(victim))
    assert metric(victim, RESTARTS) == 2
    assert unharmed(victim)


def test_a_worker_that_hangs_is_killed_and_its_request_answered(victim: Victim) -> None:
    victim.order("hang")
    assert answered(ask(victim))
    assert "made no progress for" in victim.log()
    assert metric(victim, RESTARTS) == 1
    assert unharmed(victim)


def test_a_worker_that_leaks_is_started_anew_between_two_requests_and_none_is_refused(victim: Victim) -> None:
    before = victim.worker().pid
    with victim.ordered("leak"):
        for _ in eventually(120):
            assert readiness(victim)[0] == 200
            assert answered(ask(victim))
            if metric(victim, RENEWALS):
                break
    assert answered(ask(victim))
    assert victim.worker().pid != before
    assert "MiB more than when it was loaded; workers.memory_growth is 300MiB; starting it" in victim.log()
    assert metric(victim, RESTARTS) == metric(victim, RENEWALS) == 1
    assert unharmed(victim)
