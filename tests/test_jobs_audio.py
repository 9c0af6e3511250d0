"""Recordings of jobs: kept once, as long as a job needs them, and never half."""

import asyncio
import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from whisperd.errors import Unavailable
from whisperd.jobs.audio import Recordings

AUDIO = b"RIFF" + bytes(range(256)) * 100
DIGEST = hashlib.sha256(AUDIO).hexdigest()


class Jobs:
    """What jobs need, as the store would say it."""

    def __init__(self) -> None:
        self.digests: set[str] = set()
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def needed(self, digest: str) -> bool:
        answer = digest in self.digests
        self.asked.set()
        await self.may_answer.wait()
        return answer


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
async def recordings(tmp_path: Path, jobs: Jobs) -> Recordings:
    recordings = Recordings(tmp_path / "jobs", needed=jobs.needed)
    await recordings.sweep()
    return recordings


def arrived(recordings: Recordings, audio: bytes = AUDIO, name: str = "upload") -> Path:
    """A recording that has just arrived."""
    path = recordings.incoming.root / name
    path.write_bytes(audio)
    return path


async def keep(recordings: Recordings, jobs: Jobs, audio: bytes = AUDIO) -> str:
    """Keep a recording for a job."""
    async with recordings.keep(arrived(recordings, audio)) as digest:
        jobs.digests.add(digest)
    return digest


def kept(recordings: Recordings) -> list[Path]:
    return [path for path in (recordings.incoming.root.parent / "recordings").rglob("*") if path.is_file()]


async def test_a_recording_is_kept_under_the_digest_of_its_bytes(recordings: Recordings, jobs: Jobs) -> None:
    path = arrived(recordings)
    async with recordings.keep(path) as digest:
        assert digest == DIGEST
        assert recordings.path(digest).read_bytes() == AUDIO
        jobs.digests.add(digest)
    path.unlink()
    assert kept(recordings) == [recordings.path(DIGEST)]
    assert recordings.path(DIGEST).read_bytes() == AUDIO
    assert stat.S_IMODE(recordings.path(DIGEST).parent.stat().st_mode) == 0o700


async def test_a_digest_that_is_known_is_not_computed_again(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(hashlib, "file_digest")
    async with recordings.keep(arrived(recordings), DIGEST) as digest:
        assert recordings.path(digest).is_file()


async def test_the_same_bytes_twice_are_one_file(recordings: Recordings, jobs: Jobs) -> None:
    first = await keep(recordings, jobs)
    assert await keep(recordings, jobs) == first
    assert len(kept(recordings)) == 1


async def test_what_no_job_was_stored_for_goes_at_once(recordings: Recordings) -> None:
    async with recordings.keep(arrived(recordings)):
        pass
    assert kept(recordings) == []


async def test_what_failed_to_be_stored_goes_at_once(recordings: Recordings) -> None:
    with pytest.raises(KeyError):
        async with recordings.keep(arrived(recordings)):
            raise KeyError
    assert kept(recordings) == []


async def test_a_recording_is_discarded_when_no_job_needs_it(recordings: Recordings, jobs: Jobs) -> None:
    digest = await keep(recordings, jobs)
    assert not await recordings.discard(digest)
    assert recordings.path(digest).is_file()
    jobs.digests.clear()
    assert await recordings.discard(digest)
    assert kept(recordings) == []
    assert await recordings.discard(digest)  # also when it is gone


async def test_a_recording_that_is_being_kept_is_not_discarded(recordings: Recordings, jobs: Jobs) -> None:
    async with recordings.keep(arrived(recordings)) as digest:
        assert not await recordings.discard(digest)
        jobs.digests.add(digest)
    assert recordings.path(digest).is_file()


async def test_a_recording_that_comes_while_it_is_discarded_is_kept(
    recordings: Recordings, jobs: Jobs
) -> None:
    digest = await keep(recordings, jobs)
    jobs.digests.clear()
    jobs.may_answer.clear()
    jobs.asked.clear()
    discarding = asyncio.create_task(recordings.discard(digest))
    await jobs.asked.wait()
    keeping = asyncio.create_task(keep(recordings, jobs))
    await asyncio.sleep(0)
    jobs.may_answer.set()
    await discarding
    await keeping
    assert recordings.path(digest).read_bytes() == AUDIO


async def test_of_two_who_keep_the_same_the_one_that_fails_takes_nothing_away(
    recordings: Recordings, jobs: Jobs
) -> None:
    async with recordings.keep(arrived(recordings)) as digest:
        with pytest.raises(KeyError):
            async with recordings.keep(arrived(recordings, name="other")):
                raise KeyError
        jobs.digests.add(digest)
    assert recordings.path(digest).is_file()


async def test_the_recording_and_its_name_are_on_the_disk_before_the_job_is_stored(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = set()

    def fsync(descriptor: int) -> None:
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    await recordings.sweep()
    directories = synced.copy()
    async with recordings.keep(arrived(recordings)) as digest:
        path = recordings.path(digest)
        assert directories == {path.parent.parent, path.parent.parent.parent}
        assert synced - directories == {path, path.parent}


async def test_a_recording_of_another_disk_is_copied(
    recordings: Recordings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    digest = await keep(recordings, jobs)
    assert recordings.path(digest).read_bytes() == AUDIO
    assert [path.name for path in recordings.incoming.root.iterdir()] == ["upload"]


async def test_a_full_disk_is_told_of_and_leaves_nothing(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Unavailable):
        async with recordings.keep(arrived(recordings)):
            pytest.fail("it was not kept")
    assert kept(recordings) == []


async def test_a_recording_that_can_not_be_asked_after_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def needed(_: str) -> bool:
        raise Unavailable("the database is busy")

    recordings = Recordings(tmp_path, needed=needed)
    await recordings.sweep()
    async with recordings.keep(arrived(recordings)) as digest:
        pass
    assert recordings.path(digest).is_file()
    assert "until the next start" in caplog.text


async def test_a_sweep_removes_what_no_job_needs_and_what_is_none(recordings: Recordings, jobs: Jobs) -> None:
    digest = await keep(recordings, jobs)
    orphan = recordings.path("0" * 64)
    odd = recordings.path("note").with_name("note")
    for path in (orphan, odd):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (recordings.incoming.root / "half").mkdir()
    (recordings.incoming.root / "half" / "upload").write_bytes(b"RI")
    assert await recordings.sweep() == 3
    assert kept(recordings) == [recordings.path(digest)]
    assert not (recordings.incoming.root / "half").exists()


async def test_nothing_is_remembered_of_recordings_that_nobody_handles(
    recordings: Recordings, jobs: Jobs
) -> None:
    digest = await keep(recordings, jobs)
    await asyncio.gather(*(recordings.discard(digest) for _ in range(5)))
    assert recordings._turns == {}
