"""A disk that is full: what needs it is refused for now, and nothing else."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from boxes.box import Box
from torture.disk import empty, fill

from faults.victim import Victim, answered, ask, ended, hand_in, job, readiness, refused, unharmed

TOO_LITTLE_TO_DECODE = 1_500_000
"""Bytes. The conversation has 960 000, and twice as many once it is decoded."""


@pytest.fixture(scope="module")
def box(infiltrated: tuple[Path, ...], release: str) -> Iterator[Box]:
    """On a small disk."""
    with Box.boot(f"fault-disk-{release}", infiltrated, size="64m") as box:
        yield box


@pytest.fixture
def settings() -> Mapping[str, str]:
    return {"WHISPERD_LIMITS__DISK_RESERVE": "1kB", "WHISPERD_JOBS__DISK_RESERVE": "1kB"}


@pytest.fixture
def disk(box: Box) -> Path:
    return box.layer.parent


def spooled(victim: Victim) -> list[Path]:
    return list((victim.root / "var/cache/whisperd/spool").iterdir())


def test_a_recording_that_has_no_room_is_refused_until_there_is_some(victim: Victim, disk: Path) -> None:
    fill(disk)
    assert refused(ask(victim)) == (503, "unavailable")
    assert readiness(victim) == (200, None)
    empty(disk)
    assert answered(ask(victim))
    assert spooled(victim) == []
    assert unharmed(victim)


def test_a_recording_that_has_no_room_to_be_decoded_is_refused(victim: Victim, disk: Path) -> None:
    with (disk / "ballast").open("wb") as ballast:
        room = shutil.disk_usage(disk).free - TOO_LITTLE_TO_DECODE
        os.posix_fallocate(ballast.fileno(), 0, room)
    reply = ask(victim)
    assert refused(reply) == (503, "unavailable")
    assert "decode" in reply.json()["error"]["message"]
    empty(disk)
    assert answered(ask(victim))
    assert victim.errors() == ["unavailable"]
    assert spooled(victim) == []
    assert unharmed(victim)


def test_a_job_is_promised_only_where_there_is_room_for_it(victim: Victim, disk: Path) -> None:
    fill(disk)
    reply = hand_in(victim)
    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) >= 1
    empty(disk)
    assert ended(victim, job(hand_in(victim)))["status"] == "completed"
    assert unharmed(victim)
