"""The store of jobs, for their owners: whose they are, lists, repeats, what is called off or deleted."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from storing import DIGEST, HOOK, START, after, completed, new, opened, running

from whisperd.errors import IdempotencyKeyReused, NotCancellable, UnknownJob
from whisperd.jobs.model import Progress, Work
from whisperd.jobs.store import Store
from whisperd.transcript.model import Detection, Segment, Transcript, Word


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path / "jobs") as store:
        yield store


async def test_a_job_comes_back_as_it_was_handed_in(store: Store) -> None:
    job = new(
        type="transcription_with_diarization",
        priority="high",
        organization_id="o",
        key_id="k",
        work=Work(
            languages=("de", "en"),
            multilingual=True,
            detection=Detection(threshold=0.4),
            condition_on_previous_text=True,
            drop_doubted=True,
            prompt="Hm",
        ),
        details={"metadata": {"deep": [1, None, "ü"]}},
        webhook_url=HOOK,
        idempotency_key="once",
        fingerprint="f",
        deadline=after(60),
        progress=Progress(stage="decoding"),
    )
    kept = await store.add(job)
    assert kept == await store.get(job.id, "ann")
    assert kept.revision == 1
    assert kept.progress is None
    assert (kept.work, kept.details, kept.created_at) == (job.work, job.details, START)


async def test_somebody_elses_job_is_as_unknown_as_none(store: Store) -> None:
    job = await store.add(new())
    steps = (
        store.get(job.id, "bob"),
        store.delete(job.id, "bob"),
        store.cancel(job.id, "bob", at=START),
        store.get("none", "ann"),
        store.delete("none", "ann"),
        store.cancel("none", "ann", at=START),
    )
    told = await asyncio.gather(*steps, return_exceptions=True)
    assert {(type(error), str(error)) for error in told} == {(UnknownJob, "no job has this id")}
    assert await store.get(job.id, "ann") == job


async def test_lists_are_newest_first_filtered_and_cut(store: Store) -> None:
    jobs = [
        await store.add(new(created_at=after(number), type=kind))
        for number, kind in enumerate(["transcription", "diarization"] * 3)
    ]
    await store.add(new(owner="bob", created_at=after(99)))
    await store.cancel(jobs[0].id, "ann", at=START)
    await store.cancel(jobs[1].id, "ann", at=START)

    async def listed(**options: Any) -> list[int]:
        ids = [job.id for job in jobs]
        return [ids.index(job.id) for job in await store.list("ann", **options)]

    assert await listed() == [5, 4, 3, 2, 1, 0]
    assert await listed(limit=2) == [5, 4]
    assert await listed(limit=2, offset=4) == [1, 0]
    assert await listed(status="queued") == [5, 4, 3, 2]
    assert await listed(kind="diarization") == [5, 3, 1]
    assert await listed(kind="diarization", status="cancelled") == [1]
    assert await listed(status="failed") == []


async def test_jobs_of_one_moment_are_listed_in_the_order_they_came(store: Store) -> None:
    jobs = [await store.add(new()) for _ in range(3)]
    assert [job.id for job in await store.list("ann")] == [job.id for job in reversed(jobs)]


async def test_a_repeated_idempotency_key_is_the_same_job(store: Store) -> None:
    first = await store.add(new(idempotency_key="k", fingerprint="f"))
    again = await store.add(new(idempotency_key="k", fingerprint="f"))
    assert again == first
    assert len(await store.list("ann")) == 1


async def test_the_same_key_at_the_same_moment_makes_one_job(store: Store) -> None:
    made = await asyncio.gather(*(store.add(new(idempotency_key="k", fingerprint="f")) for _ in range(20)))
    assert len({job.id for job in made}) == 1
    assert len(await store.list("ann")) == 1


async def test_a_key_for_something_else_is_refused(store: Store) -> None:
    await store.add(new(idempotency_key="k", fingerprint="f"))
    with pytest.raises(IdempotencyKeyReused):
        await store.add(new(idempotency_key="k", fingerprint="g"))


async def test_each_owner_has_keys_of_their_own(store: Store) -> None:
    await store.add(new(idempotency_key="k", fingerprint="f"))
    await store.add(new(idempotency_key="k", fingerprint="g", owner="bob"))
    assert len(await store.list("bob")) == 1


async def test_what_waits_or_runs_can_be_cancelled(store: Store) -> None:
    for job in (await running(store), await store.add(new())):
        cancelled = await store.cancel(job.id, "ann", at=after(5))
        assert (cancelled.status, cancelled.completed_at) == ("cancelled", after(5))
        assert cancelled.revision == job.revision + 1
    assert await store.claim(at=after(9)) is None


async def test_what_has_ended_can_not_be_cancelled(store: Store) -> None:
    job = await completed(store)
    with pytest.raises(NotCancellable, match="completed"):
        await store.cancel(job.id, "ann", at=START)
    assert await store.get(job.id, "ann") == job


async def test_a_cancelled_job_owes_no_webhook(store: Store) -> None:
    job = await store.add(new(webhook_url=HOOK))
    await store.cancel(job.id, "ann", at=START)
    assert await store.deliveries(job.id) == []


async def test_a_deleted_job_takes_its_transcript_and_deliveries_along(store: Store) -> None:
    job = await completed(store, webhook_url=HOOK)
    assert await store.delete(job.id, "ann") == job
    with pytest.raises(UnknownJob):
        await store.get(job.id, "ann")
    assert await store.transcript(job.id) is None
    assert await store.deliveries(job.id) == []
    assert await store.owed(at=after(9), limit=9) == []
    assert not await store.needed(DIGEST)


async def test_what_is_deleted_gives_its_room_back(tmp_path: Path) -> None:
    words = [Word(uuid.uuid4().hex, 0, 1, 0.5) for _ in range(50_000)]
    large = Transcript(duration=1, segments=[Segment(id=0, start=0, end=1, text="", words=words)])
    async with opened(tmp_path) as store:
        job = await running(store)
        await store.complete(job.id, 1, large, at=START)
    before = (tmp_path / "jobs.db").stat().st_size
    async with opened(tmp_path) as store:
        await store.delete(job.id, "ann")
    assert (tmp_path / "jobs.db").stat().st_size < before / 4
