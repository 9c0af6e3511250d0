"""A worker that crashes, hangs or leaks costs its clients some seconds, and nothing else."""

from pathlib import Path

import pytest
from running import eventually, models_installed

from faults.victim import Victim, answered, ask, code, metric, readiness, until_ready

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _models() -> None:
    models_installed("tiny.en")


def test_a_worker_that_crashes_is_replaced_and_its_request_answered(tmp_path: Path) -> None:
    with Victim(tmp_path) as daemon:
        daemon.order("crash once")
        assert answered(ask(daemon))
        assert "was killed by SIGSEGV; starting it again in 0.1 s" in daemon.log()
        assert metric(daemon, "whisperd_worker_restarts_total") == 1


def test_a_recording_that_crashes_two_workers_is_refused_and_the_next_one_answered(tmp_path: Path) -> None:
    with Victim(tmp_path) as daemon:
        daemon.order("crash")
        reply = ask(daemon)
        assert (reply.status_code, code(reply)) == (500, "worker_died")
        daemon.lift()
        until_ready(daemon)
        assert answered(ask(daemon))
        assert daemon.restarts("transcribe") == 2


def test_a_worker_that_hangs_is_killed_and_its_request_answered(tmp_path: Path) -> None:
    with Victim(tmp_path, {"WHISPERD_WORKERS__STALL_TIMEOUT": "15s"}) as daemon:
        daemon.order("hang once")
        assert answered(ask(daemon))
        assert "made no progress for" in daemon.log()
        assert daemon.restarts("transcribe") == 1


def test_a_worker_that_leaks_is_started_anew_between_two_requests_and_none_is_refused(tmp_path: Path) -> None:
    with Victim(tmp_path, {"WHISPERD_WORKERS__MEMORY_GROWTH": "300MiB"}) as daemon:
        daemon.order("leak")
        before = daemon.worker("transcribe").pid
        for _ in eventually(120):
            assert readiness(daemon)[0] == 200
            assert answered(ask(daemon))
            if metric(daemon, "whisperd_worker_renewals_total"):
                break
        daemon.lift()
        assert answered(ask(daemon))
        assert daemon.worker("transcribe").pid != before
        assert (
            "MiB more than when it was loaded; workers.memory_growth is 300MiB; starting it" in daemon.log()
        )
        assert daemon.restarts("transcribe") == metric(daemon, "whisperd_worker_renewals_total") == 1
