"""The daemon itself dies of a job, each time that it works on it: it is given up, and others are done."""

from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from running import eventually, models_installed

from faults.victim import Victim, hand_in, tracebacks

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _models() -> None:
    models_installed("tiny.en")


def job(daemon: Victim, job_id: str, **query: str) -> Any:
    return httpx.get(f"{daemon.url}/v1/jobs/{job_id}", params=query, timeout=90).json()


def until_worked_on(daemon: Victim, job_id: str) -> Any:
    for _ in eventually(60):
        now = job(daemon, job_id)
        if now["progress"] and now["progress"]["items_total"]:
            return now
    raise AssertionError  # for the type checker: eventually has failed by then


def again(daemon: Victim, *, kill: bool) -> None:
    """Have it end, and start it."""
    if kill:
        daemon.kill()
    else:
        daemon.process.terminate()
        assert daemon.process.wait(60) == 0
    daemon.notifications.clear()
    daemon.start()
    daemon.wait_ready()


def test_a_job_that_the_daemon_dies_of_is_given_up_and_one_beside_it_is_done(tmp_path: Path) -> None:
    with Victim(tmp_path, {"WHISPERD_JOBS__ATTEMPTS": "2", "WHISPERD_JOBS__RUNNING": "2"}) as daemon:
        daemon.order("hang")
        deadly = str(hand_in(daemon).json()["id"])
        until_worked_on(daemon, deadly)
        again(daemon, kill=False)
        assert until_worked_on(daemon, deadly)["causes"] == [], "a stop is no death"
        again(daemon, kill=True)
        second = until_worked_on(daemon, deadly)
        assert (second["attempts"], [cause["code"] for cause in second["causes"]]) == (2, ["server_died"])
        other = str(hand_in(daemon).json()["id"])
        until_worked_on(daemon, other)
        again(daemon, kill=True)
        given_up = job(daemon, deadly, wait="60")
        assert (given_up["status"], given_up["attempts"]) == ("failed", 2)
        assert given_up["error"]["details"] == {"code": "server_died"}
        assert given_up["error"]["message"] == "the server died while it worked on this recording"
        daemon.lift()
        done = job(daemon, other, wait="60")
        assert (done["status"], [cause["code"] for cause in done["causes"]]) == ("completed", ["server_died"])
        assert not tracebacks(daemon)
