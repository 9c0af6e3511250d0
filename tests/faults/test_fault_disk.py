"""A disk that is full: what needs it is refused for now, and nothing else."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from running import models_installed
from torture.disk import Disk, empty, fill, why_no_disk

from faults.victim import Victim, answered, ask, code, hand_in, readiness, tracebacks

pytestmark = pytest.mark.engine

TOO_LITTLE_TO_DECODE = 1_500_000
"""Bytes. The conversation has 960 000, and twice as many once it is decoded."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if reason := why_no_disk():
        pytest.skip(reason)
    with Disk(tmp_path, 64) as disk:
        yield disk.path


@pytest.fixture
def daemon(tmp_path: Path, disk: Path) -> Iterator[Victim]:
    """With its spool and its jobs on a disk of their own."""
    models_installed("tiny.en")
    jobs = tmp_path / "var" / "jobs"
    jobs.parent.mkdir()
    (disk / "jobs").mkdir()
    jobs.symlink_to(disk / "jobs")
    settings = {
        "WHISPERD_PATHS__SPOOL": str(disk / "spool"),
        "WHISPERD_LIMITS__DISK_RESERVE": "1kB",
        "WHISPERD_JOBS__DISK_RESERVE": "1kB",
    }
    with Victim(tmp_path, settings) as daemon:
        yield daemon


def refused_for_now(reply: httpx.Response) -> bool:
    return (reply.status_code, code(reply)) == (503, "unavailable") and int(reply.headers["Retry-After"]) >= 1


def test_a_recording_that_has_no_room_is_refused_until_there_is_some(daemon: Victim, disk: Path) -> None:
    fill(disk)
    assert refused_for_now(ask(daemon))
    assert readiness(daemon) == (200, None)
    empty(disk)
    assert answered(ask(daemon))
    assert list((disk / "spool").iterdir()) == []
    assert not tracebacks(daemon)


def test_a_recording_that_has_no_room_to_be_decoded_is_refused(daemon: Victim, disk: Path) -> None:
    with (disk / "ballast").open("wb") as ballast:
        room = shutil.disk_usage(disk).free - TOO_LITTLE_TO_DECODE
        os.posix_fallocate(ballast.fileno(), 0, room)
    reply = ask(daemon)
    assert refused_for_now(reply)
    assert "decode" in reply.json()["error"]["message"]
    empty(disk)
    assert answered(ask(daemon))
    assert daemon.restarts("decode") == 0
    assert list((disk / "spool").iterdir()) == []
    assert not tracebacks(daemon)


def test_a_job_is_promised_only_where_there_is_room_for_it(daemon: Victim, disk: Path) -> None:
    fill(disk)
    refused = hand_in(daemon)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    empty(disk)
    job = hand_in(daemon)
    assert job.status_code == 202, job.text
    ended = httpx.get(f"{daemon.url}/v1/jobs/{job.json()['id']}", params={"wait": "60"}, timeout=90).json()
    assert ended["status"] == "completed"
    assert not tracebacks(daemon)
