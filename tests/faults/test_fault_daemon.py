"""The daemon itself dies of a job, each time that it works on it: it is given up, and others are done."""

from collections.abc import Mapping
from typing import Any

import pytest
from running import eventually

from faults.victim import Victim, ended, hand_in, job


@pytest.fixture
def settings() -> Mapping[str, str]:
    return {"WHISPERD_JOBS__ATTEMPTS": "2", "WHISPERD_JOBS__RUNNING": "2"}


def until_worked_on(victim: Victim, job_id: str) -> Any:
    for _ in eventually(60):
        now = victim.get(f"/v1/jobs/{job_id}").json()
        if now["progress"] and now["progress"]["items_total"]:
            return now
    raise AssertionError  # for the type checker: eventually has failed by then


def causes(told: Any) -> list[str]:
    """Why a job's earlier attempts ended."""
    return [cause["code"] for cause in told["causes"]]


def test_a_job_that_the_daemon_dies_of_is_given_up_and_one_beside_it_is_done(victim: Victim) -> None:
    with victim.ordered("hang"):
        deadly = job(hand_in(victim))
        until_worked_on(victim, deadly)
        victim.box.systemctl("restart", "whisperd.service")
        assert until_worked_on(victim, deadly)["causes"] == [], "a stop is no death"
        victim.kill()
        second = until_worked_on(victim, deadly)
        assert (second["attempts"], causes(second)) == (2, ["server_died"])
        other = job(hand_in(victim))
        until_worked_on(victim, other)
        victim.kill()
        given_up = ended(victim, deadly)
    assert (given_up["status"], given_up["attempts"]) == ("failed", 2)
    assert given_up["error"]["details"] == {"code": "server_died"}
    assert given_up["error"]["message"] == "the server died while it worked on this recording"
    done = ended(victim, other)
    assert (done["status"], causes(done)) == ("completed", ["server_died"])
    assert "Traceback" not in victim.log()
