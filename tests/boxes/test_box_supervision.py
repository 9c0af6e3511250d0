"""Crashes, hangs, slow starts and stops of the installed service, with systemd as the judge."""

import pytest
from recordings import conversation

from boxes.box import Box, until

IMPATIENT_WORKERS = (
    "Environment=WHISPERD_WORKERS__PING_INTERVAL=500ms",
    "Environment=WHISPERD_WORKERS__PING_TIMEOUT=2s",
)


@pytest.fixture(autouse=True)
def running(box: Box) -> None:
    """However the test before has left the service."""
    box.systemctl("start", "whisperd.service")
    until(lambda: serves(box), "readiness")


@pytest.fixture(scope="module", autouse=True)
def without_start_limit(box: Box) -> None:
    """These tests start the service more often than an administrator would."""
    box.write("/etc/systemd/system/whisperd.service.d/limit.conf", "[Unit]\nStartLimitIntervalSec=0\n")
    box.systemctl("daemon-reload")


def serves(box: Box) -> bool:
    return box.get("/health/ready").status == 200


def transcribes(box: Box) -> bool:
    return box.post("/transcribe", conversation(), language="en").status == 200


def busy(box: Box) -> bool:
    """Whether a request is being worked on."""
    return bool(box.get("/health").json()["running"])


def test_systemd_starts_a_killed_daemon_again_and_leaves_no_worker_behind(box: Box) -> None:
    before = set(box.processes())
    restarts = int(box.show("NRestarts"))
    box.kill("KILL", box.main_pid())
    until(lambda: int(box.show("NRestarts")) == restarts + 1, "the restart")
    until(lambda: serves(box), "readiness")
    assert not before & set(box.processes())
    assert transcribes(box)


def test_the_daemon_replaces_a_killed_worker_by_itself(box: Box) -> None:
    main, worker = box.main_pid(), box.worker_pid("transcribe")
    box.kill("KILL", worker)
    until(lambda: worker not in box.processes(), "the end of the worker")
    until(lambda: serves(box), "readiness")
    assert box.main_pid() == main
    assert transcribes(box)


def test_a_worker_that_hangs_is_killed_before_systemd_loses_patience(box: Box) -> None:
    with box.override(*IMPATIENT_WORKERS):
        box.systemctl("restart", "whisperd.service")
        main, worker = box.main_pid(), box.worker_pid("diarize")
        box.kill("STOP", worker)
        until(lambda: worker not in box.processes(), "the end of the worker")
        until(lambda: serves(box), "readiness")
        assert box.main_pid() == main


def test_a_daemon_that_hangs_is_killed_by_the_watchdog_and_started_again(box: Box) -> None:
    with box.override("WatchdogSec=3"):
        box.systemctl("restart", "whisperd.service")
        main = box.main_pid()
        box.kill("STOP", main)
        until(lambda: box.main_pid() not in (0, main), "another daemon")
        until(lambda: serves(box), "readiness")
    assert "Watchdog timeout" in box.messages()


def test_a_start_may_take_longer_than_the_limit_while_it_tells_how_far_it_is(box: Box) -> None:
    with box.override("TimeoutStartSec=1"):
        box.systemctl("restart", "whisperd.service")
        began, ready = (
            int(box.show(f"{moment}TimestampMonotonic")) for moment in ("ExecMainStart", "ActiveEnter")
        )
    assert ready - began > 1_000_000, "too fast a start to prove anything"
    assert box.show("ActiveState") == "active"


def test_a_stop_answers_what_is_running_and_leaves_no_process(box: Box) -> None:
    request = box.begin_post("/transcribe", conversation(), language="en")
    until(lambda: busy(box), "the request's turn")
    box.systemctl("stop", "whisperd.service")
    assert request.reply().status == 200
    assert box.show("Result") == "success"
    assert box.processes() == {}


def test_a_stop_cuts_off_what_runs_longer_than_the_limit_and_tells_its_caller(box: Box) -> None:
    with box.override("Environment=WHISPERD_SERVER__DRAIN_TIMEOUT=100ms"):
        box.systemctl("restart", "whisperd.service")
        request = box.begin_post("/transcribe", conversation(), language="en")
        until(lambda: busy(box), "the request's turn")
        box.systemctl("stop", "whisperd.service")
        assert request.reply().status == 503
        assert box.show("Result") == "success"
        assert box.processes() == {}
