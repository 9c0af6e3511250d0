"""The store of jobs, on the disk: what can go, and what stays through restarts, crashes and a full disk."""

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from storing import DIGEST, HOOK, START, TRANSCRIPT, after, completed, new, opened, owed_one, running

from whisperd.errors import StartError, Unavailable
from whisperd.jobs.model import Attempt, Source, Work
from whisperd.jobs.schema import SCHEMA
from whisperd.jobs.sqlite import SqliteStore, open_store
from whisperd.jobs.store import Store
from whisperd.sqlite import Schema, connect


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path / "jobs") as store:
        yield store


# ---- retention -----------------------------------------------------------------------------------


async def test_ended_jobs_are_found_longest_ended_first(store: Store) -> None:
    jobs = [await completed(store, at=after(number)) for number in (3, 1, 2)]
    await running(store)
    found = await store.ended_before(after(3), limit=9)
    assert [job.id for job in found] == [jobs[1].id, jobs[2].id]
    assert len(await store.ended_before(after(9), limit=1)) == 1


async def test_a_job_that_owes_its_webhook_is_not_among_those_that_can_go(store: Store) -> None:
    delivery = await owed_one(store)
    assert await store.ended_before(after(9), limit=9) == []
    assert len(await store.ended_before(after(9), limit=9, with_audio=True)) == 1
    await store.tried(delivery, Attempt(at=START, status=200), due_at=None)
    assert len(await store.ended_before(after(9), limit=9)) == 1


async def test_a_recording_is_needed_until_the_last_job_forgets_it(store: Store) -> None:
    jobs = [await completed(store), await completed(store)]
    for job in jobs:
        assert await store.needed(DIGEST)
        await store.forget_audio(job.id)
    assert not await store.needed(DIGEST)
    assert await store.ended_before(after(9), limit=9, with_audio=True) == []
    assert (await store.get(jobs[0].id, "ann")).source == Source(filename="talk.mp3", size=7)
    await store.forget_audio("none")


async def test_jobs_are_counted_by_status(store: Store) -> None:
    await completed(store)
    await store.add(new())
    await store.add(new())
    assert await store.counts() == {
        "pending": 0, "queued": 2, "processing": 0, "completed": 1, "failed": 0, "cancelled": 0,
    }  # fmt: skip


# ---- restarts, crashes, disks --------------------------------------------------------------------


async def test_after_a_start_interrupted_jobs_wait_again_and_others_are_as_they_were(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        ended = await completed(store)
        interrupted = await running(store)
        queued = await store.add(new(created_at=after(1)))
    async with opened(tmp_path) as store:
        assert await store.recover() == (1, [])
        assert await store.recover() == (0, [])
        assert await store.get(ended.id, "ann") == ended
        assert await store.get(queued.id, "ann") == queued
        claimed = await store.claim(at=START)
        assert claimed
        assert (claimed.id, claimed.attempts, claimed.causes) == (interrupted.id, 1, [])


async def test_a_job_that_is_not_to_be_given_back_after_a_start_stays_as_it_is(store: Store) -> None:
    one, other = await running(store), await running(store)
    assert await store.recover(but={other.id, "gone"}) == (1, [other])
    assert (await store.get(one.id, "ann")).status == "queued"
    assert await store.get(other.id, "ann") == other


async def test_a_database_of_before_there_were_suspects_is_gone_on_with(tmp_path: Path) -> None:
    before = Schema(SCHEMA.application_id, SCHEMA.migrations[:1])
    job = new()
    with closing(connect(tmp_path / "jobs.db", before)) as db:
        body = msgspec.json.encode(job)
        columns = "id, owner, type, created_at, status, turn, body"
        row = (job.id, job.owner, job.type, 1, job.status, 1, body)
        db.execute(f"INSERT INTO jobs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    async with opened(tmp_path) as store:
        claimed = await store.claim(at=START, trusted=True)
        assert claimed
        assert claimed.id == job.id


async def test_only_one_process_works_on_the_jobs_of_a_directory(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(StartError, match="another whisperd"):
            await open_store(tmp_path)
    async with opened(tmp_path) as store:
        assert await store.counts()


async def test_jobs_are_nobody_elses_to_read(tmp_path: Path) -> None:
    async with opened(tmp_path / "jobs") as store:
        await store.add(new())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "jobs").iterdir()}
    assert modes == dict.fromkeys(["jobs.db", "jobs.db-wal", "jobs.db-shm"], 0o600)
    assert stat.S_IMODE((tmp_path / "jobs").stat().st_mode) == 0o700


def test_what_was_not_asked_for_is_not_written() -> None:
    assert msgspec.json.encode(Work(drop_doubted=True)) == b'{"drop_doubted":true}'


async def test_jobs_are_read_that_were_written_before_work_and_segments_had_all_their_fields(
    tmp_path: Path,
) -> None:
    work = {
        "text": True,
        "task": "transcribe",
        "language": "fr",
        "languages": [],
        "detection": {"threshold": None, "min_silence_ms": None, "padding_ms": None},
        "words": True,
        "speakers": False,
        "hints": {"exactly": None, "at_least": None, "at_most": None},
        "model": None,
        "prompt": None,
        "hotwords": None,
        "temperature": None,
        "beam_size": None,
    }
    async with opened(tmp_path) as store:
        job = await completed(store)
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.db")) as db, db:
        [(body,)] = db.execute("SELECT body FROM jobs")
        db.execute("UPDATE jobs SET body = ?", (json.dumps(json.loads(body) | {"work": work}).encode(),))
        [(body,)] = db.execute("SELECT body FROM transcripts")
        transcript = msgspec.msgpack.decode(zlib.decompress(body))
        for segment in transcript["segments"]:
            del segment["doubts"], segment["language"]
        db.execute("UPDATE transcripts SET body = ?", (zlib.compress(msgspec.msgpack.encode(transcript)),))
    async with opened(tmp_path) as store:
        assert (await store.get(job.id, "ann")).work == Work(language="fr")
        assert await store.transcript(job.id) == TRANSCRIPT


async def test_a_damaged_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.add(new())
    damaged = os.urandom((tmp_path / "jobs.db").stat().st_size)
    (tmp_path / "jobs.db").write_bytes(damaged)
    with pytest.raises(StartError, match=str(tmp_path)):
        await open_store(tmp_path)
    assert (tmp_path / "jobs.db").read_bytes() == damaged
    with pytest.raises(StartError, match="is damaged"):  # not: is in use
        await open_store(tmp_path)


@pytest.mark.parametrize("harm", ["cut", "flipped", "appended"])
async def test_a_loss_of_power_that_tears_the_last_write_loses_no_other(tmp_path: Path, harm: str) -> None:
    async with opened(tmp_path / "jobs") as store:
        job = await running(store, webhook_url=HOOK)
        await store.complete(job.id, 1, TRANSCRIPT, at=START)
        shutil.copytree(tmp_path / "jobs", tmp_path / "before")
        last = await store.add(new())
        shutil.copytree(tmp_path / "jobs", tmp_path / "torn")
    log = tmp_path / "torn" / "jobs.db-wal"
    whole = log.read_bytes()
    match harm:
        case "cut":
            log.write_bytes(whole[:-1000])
        case "flipped":
            log.write_bytes(whole[:-1000] + bytes(b ^ 0xFF for b in whole[-1000:]))
        case "appended":
            log.write_bytes(whole + os.urandom(5000))
    (tmp_path / "torn" / "jobs.db-shm").unlink()
    async with opened(tmp_path / "torn") as store:
        assert (await store.get(job.id, "ann")).status == "completed"
        assert await store.transcript(job.id) == TRANSCRIPT
        assert len(await store.owed(at=START, limit=9)) == 1
        there = [kept.id for kept in await store.list("ann")]
        assert sorted(there) == sorted([job.id, last.id] if harm == "appended" else [job.id])
        assert await store.add(new())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for few jobs."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2M", "whisperd-test", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file systems can be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk_refuses_jobs_and_keeps_those_it_took(small_disk: Path) -> None:
    kept = []
    async with opened(small_disk / "jobs") as store:
        refused: list[Unavailable] = []
        while not refused:
            try:
                kept.append(await store.add(new(details={"x": "y" * 3000})))
            except Unavailable as error:
                refused.append(error)
        assert str(small_disk) not in refused[0].message
        assert await store.get(kept[-1].id, "ann") == kept[-1]
        await asyncio.to_thread(
            subprocess.run, ["mount", "-o", "remount,size=8M", str(small_disk)], check=True
        )
        kept.append(await store.add(new()))
        claimed = await store.claim(at=START)
        assert claimed
        assert await store.complete(claimed.id, 1, TRANSCRIPT, at=START)
    async with opened(small_disk / "jobs") as store:
        assert len(await store.list("ann", limit=9999)) == len(kept)
        assert await store.transcript(claimed.id) == TRANSCRIPT


async def test_no_question_reads_more_rows_than_it_tells_of(store: Store) -> None:
    assert isinstance(store, SqliteStore)
    plans = await store._database.read(
        lambda db: [
            detail
            for where in (
                "owner = 'a' ORDER BY created_at DESC, seq DESC",
                "owner = 'a' AND status = 'b' ORDER BY created_at DESC, seq DESC",
                "owner = 'a' AND type = 'b' ORDER BY created_at DESC, seq DESC",
                "owner = 'a' AND status = 'b' AND type = 'c' ORDER BY created_at DESC, seq DESC",
                "turn IS NOT NULL AND coalesce(due_at, 0) <= 1 ORDER BY turn, created_at, seq",
                "completed_at IS NULL AND deadline <= 1 ORDER BY deadline",
                "completed_at < 1 AND digest IS NOT NULL ORDER BY completed_at, seq",
                "completed_at < 1 ORDER BY completed_at, seq",
                "digest = 'a'",
                "status = 'processing'",
            )
            for *_, detail in db.execute(f"EXPLAIN QUERY PLAN SELECT body FROM jobs WHERE {where}")
        ]
    )
    assert len(plans) == 10, plans  # no sorting
    assert all("USING INDEX" in plan for plan in plans), plans
