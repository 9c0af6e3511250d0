"""The store of jobs: whose they are, whose turn it is, which attempt counts, what is owed, what stays."""

import asyncio
import contextlib
import datetime
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import uuid
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whisperd.errors import (
    IdempotencyKeyReused,
    NotCancellable,
    StartError,
    Unavailable,
    UnknownJob,
)
from whisperd.jobs.model import Attempt, Delivery, Job, JobError, Progress, Source, Work
from whisperd.jobs.schema import SCHEMA
from whisperd.jobs.sqlite import SqliteStore, open_store
from whisperd.jobs.store import Store
from whisperd.sqlite import Schema, connect
from whisperd.transcript.model import Detection, Segment, Transcript, Turn, Word

START = datetime.datetime(2026, 11, 21, 10, 0, 0, 5, tzinfo=datetime.UTC)
DIGEST = "ab" * 32
HOOK = "https://hooks.example/done"
TRANSCRIPT = Transcript(
    duration=2.5,
    language="fr",
    segments=[
        Segment(id=0, start=0, end=1, text=" Été.", words=[Word(" Été.", 0.1, 0.9, 0.5, "SPEAKER_00")])
    ],
    turns=[Turn(0.0, 1.0, "SPEAKER_00")],
)


DAY_S = 86_400
YEAR_S = 365 * DAY_S


def after(seconds: float) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


def new(**options: Any) -> Job:
    """A job that waits for its first turn."""
    given: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "type": "transcription",
        "status": "queued",
        "owner": "ann",
        "source": Source(digest=DIGEST, filename="talk.mp3", size=7),
        "work": Work(),
        "created_at": START,
    }
    return Job(**given | options)


def failure(at: datetime.datetime = START, *, retryable: bool = True) -> JobError:
    return JobError(code="engine_error", message="it broke", retryable=retryable, at=at)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path / "jobs") as store:
        yield store


@contextlib.asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Store]:
    store = await open_store(directory)
    try:
        yield store
    finally:
        await store.close()


async def running(store: Store, **options: Any) -> Job:
    """A job that is being worked on."""
    await store.add(new(**options))
    claimed = await store.claim(at=START)
    assert claimed
    return claimed


async def completed(store: Store, *, at: datetime.datetime = START, **options: Any) -> Job:
    job = await running(store, **options)
    done = await store.complete(job.id, job.attempts, TRANSCRIPT, at=at)
    assert done
    return done


# ---- owners --------------------------------------------------------------------------------------


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


# ---- the runner ----------------------------------------------------------------------------------


async def test_turns_go_by_priority_and_then_by_age(store: Store) -> None:
    wanted = [("normal", 1), ("low", 0), ("high", 3), ("normal", 0), ("high", 2)]
    jobs = [await store.add(new(priority=name, created_at=after(age))) for name, age in wanted]
    taken = []
    while claimed := await store.claim(at=START):
        taken.append([job.id for job in jobs].index(claimed.id))
    assert taken == [4, 2, 3, 0, 1]


async def test_a_claimed_job_says_that_it_is_worked_on(store: Store) -> None:
    job = await store.add(new())
    claimed = await store.claim(at=after(3))
    assert claimed == await store.get(job.id, "ann")
    assert claimed
    assert (claimed.status, claimed.started_at, claimed.attempts) == ("processing", after(3), 1)
    assert (claimed.revision, claimed.began) == (2, 2)


async def test_a_job_that_is_asked_for_by_many_is_given_to_one(store: Store) -> None:
    await store.add(new())
    claimed = await asyncio.gather(*(store.claim(at=START) for _ in range(10)))
    assert sum(job is not None for job in claimed) == 1


async def test_a_failed_attempt_is_followed_by_another_when_it_is_due(store: Store) -> None:
    job = await running(store)
    waiting = await store.retry(job.id, 1, failure(), due_at=after(10))
    assert waiting
    assert (waiting.status, waiting.causes, waiting.error) == ("queued", [failure()], None)
    assert await store.next_due() == after(10)
    assert await store.claim(at=after(9.999)) is None
    again = await store.claim(at=after(10))
    assert again
    assert (again.attempts, again.due_at, again.causes) == (2, None, [failure()])
    assert await store.next_due() is None


async def test_only_trusted_jobs_are_taken_where_that_is_asked(store: Store) -> None:
    suspect = await running(store)
    died = JobError(code="server_died", message="it died", retryable=True, at=START)
    await store.retry(suspect.id, 1, died, due_at=after(1))
    other = await store.add(new(created_at=after(1)))
    assert await store.next_due() == after(1)
    assert await store.next_due(trusted=True) is None
    for expected in (other, None):
        claimed = await store.claim(at=after(2), trusted=True)
        assert (claimed and claimed.id) == (expected and expected.id)
    claimed = await store.claim(at=after(2))
    assert claimed
    assert (claimed.id, claimed.suspect, claimed.attempts) == (suspect.id, True, 2)


async def test_a_job_that_a_wrong_clock_put_off_for_years_is_due(store: Store) -> None:
    job = await running(store)
    await store.retry(job.id, 1, failure(), due_at=after(10 * YEAR_S))
    assert await store.claim(at=after(10 * YEAR_S - DAY_S)) is None
    again = await store.claim(at=after(2))
    assert again
    assert again.id == job.id


async def test_an_interrupted_attempt_does_not_count(store: Store) -> None:
    job = await running(store)
    released = await store.release(job.id, 1, due_at=after(4))
    assert released
    assert (released.status, released.attempts, released.causes) == ("queued", 0, [])
    assert await store.claim(at=after(3)) is None
    again = await store.claim(at=after(4))
    assert again
    assert again.attempts == 1


async def test_a_job_whose_recording_was_not_fetched_yet_is_pending_again(store: Store) -> None:
    url = Source(url="https://example.org/a.mp3")
    job = await running(store, source=url, status="pending")
    released = await store.release(job.id, 1)
    assert released
    assert released.status == "pending"
    assert await store.claim(at=START)
    fetched = await store.fetched(job.id, 1, Source(url=url.url, digest=DIGEST, size=3))
    assert fetched
    assert (fetched.status, fetched.attempts) == ("queued", 0)
    assert await store.needed(DIGEST)
    assert await store.claim(at=START)
    waiting = await store.retry(job.id, 1, failure(), due_at=START)
    assert waiting
    assert waiting.status == "queued"


async def test_jobs_that_have_their_recordings_can_be_taken_alone(store: Store) -> None:
    url = Source(url="https://example.org/a.mp3")
    await store.retry((await running(store, source=url)).id, 1, failure(), due_at=after(1))
    await store.add(new(source=url, status="pending"))
    assert await store.claim(at=after(2), fetched=True) is None
    assert (await store.next_due(), await store.next_due(fetched=True)) == (after(1), None)
    there = await store.add(new())
    claimed = await store.claim(at=after(2), fetched=True)
    assert claimed
    assert claimed.id == there.id


async def test_a_completed_job_has_its_transcript(store: Store) -> None:
    job = await running(store)
    assert await store.transcript(job.id) is None
    done = await store.complete(job.id, 1, TRANSCRIPT, at=after(8))
    assert done == await store.get(job.id, "ann")
    assert done
    assert (done.status, done.completed_at, done.audio_duration_s) == ("completed", after(8), 2.5)
    assert await store.transcript(job.id) == TRANSCRIPT


async def test_a_failed_job_says_why(store: Store) -> None:
    job = await running(store)
    await store.retry(job.id, 1, failure(), due_at=START)
    await store.claim(at=START)
    failed = await store.fail(job.id, 2, failure(after(7)))
    assert failed
    assert (failed.status, failed.completed_at) == ("failed", after(7))
    assert (failed.error, failed.causes) == (failure(after(7)), [failure(), failure(after(7))])


async def test_a_job_that_fails_while_it_waits_has_not_failed_at_an_attempt(store: Store) -> None:
    job = await store.add(new(deadline=after(5), webhook_url=HOOK))
    failed = await store.fail(job.id, 0, failure())
    assert failed
    assert (failed.status, failed.error, failed.causes) == ("failed", failure(), [])
    assert [delivery.event for delivery in await store.deliveries(job.id)] == ["job.failed"]
    assert await store.claim(at=after(9)) is None


@pytest.mark.parametrize("gone_on", ["cancelled", "deleted", "completed", "failed", "retried", "released"])
async def test_an_attempt_that_the_job_went_on_without_changes_nothing(store: Store, gone_on: str) -> None:
    job = await running(store, webhook_url=HOOK)
    match gone_on:
        case "cancelled":
            await store.cancel(job.id, "ann", at=START)
        case "deleted":
            await store.delete(job.id, "ann")
        case "completed":
            await store.complete(job.id, 1, TRANSCRIPT, at=START)
        case "failed":
            await store.fail(job.id, 1, failure())
        case "retried":
            await store.retry(job.id, 1, failure(), due_at=START)
            await store.claim(at=START)
        case "released":
            await store.release(job.id, 1)
    before = await store.list("ann")
    owed = await store.deliveries(job.id)
    late = Transcript(duration=99)
    for outcome in (
        await store.fetched(job.id, 1, Source(digest="cd" * 32)),
        await store.complete(job.id, 1, late, at=after(1)),
        await store.retry(job.id, 1, failure(), due_at=START),
        await store.release(job.id, 1),
    ):
        assert outcome is None
    if gone_on != "released":  # what waits can be failed, also by its attempt's number
        assert await store.fail(job.id, 1, failure()) is None
    assert await store.list("ann") == before
    assert await store.deliveries(job.id) == owed
    assert await store.transcript(job.id) != late


async def test_jobs_past_their_deadline_are_found_in_any_state_but_the_end(store: Store) -> None:
    late = [await running(store, deadline=after(1)), await store.add(new(deadline=after(2)))]
    await store.add(new(deadline=after(4)))
    await store.add(new())
    ended = await store.add(new(deadline=after(1)))
    await store.cancel(ended.id, "ann", at=START)
    assert [job.id for job in await store.overdue(at=after(3))] == [job.id for job in late]


async def test_each_change_raises_the_revision(store: Store) -> None:
    job = await running(store)
    seen = [job.revision]
    for step in (
        store.fetched(job.id, 1, Source(digest=DIGEST)),
        store.claim(at=START),
        store.retry(job.id, 1, failure(), due_at=START),
        store.claim(at=START),
        store.complete(job.id, 2, TRANSCRIPT, at=START),
    ):
        changed = await step
        assert changed
        seen.append(changed.revision)
    assert seen == [2, 3, 4, 5, 6, 7]
    await store.forget_audio(job.id)
    assert (await store.get(job.id, "ann")).revision == 8


# ---- webhooks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["completed", "failed"])
async def test_the_end_of_a_job_owes_one_webhook(store: Store, outcome: str) -> None:
    job = await running(store, webhook_url=HOOK)
    for _ in range(2):  # asked for again after a crash
        if outcome == "completed":
            await store.complete(job.id, 1, TRANSCRIPT, at=after(3))
        else:
            await store.fail(job.id, 1, failure(after(3)))
    (delivery,) = await store.deliveries(job.id)
    assert (delivery.event, delivery.url) == (f"job.{outcome}", HOOK)
    assert (delivery.state, delivery.due_at, delivery.attempts) == ("pending", after(3), [])
    assert (delivery.job_id, delivery.owner) == (job.id, "ann")
    assert await store.owed(at=after(3), limit=9) == [delivery]
    assert await store.owed(at=after(2), limit=9) == []


async def owed_one(store: Store, at: datetime.datetime = START, url: str = HOOK) -> Delivery:
    job = await completed(store, webhook_url=url, at=at)
    (delivery,) = await store.deliveries(job.id)
    return delivery


async def test_attempts_are_noted_until_one_is_taken(store: Store) -> None:
    delivery = await owed_one(store)
    unheard = Attempt(at=after(1), status=None, error="timeout")
    refused = Attempt(at=after(11), status=500)
    taken = Attempt(at=after(31), status=204)
    await store.tried(delivery, unheard, due_at=after(10))
    assert await store.owed(at=after(9), limit=9) == []
    assert await store.next_delivery_due(after=START) == after(10)
    await store.tried(delivery, refused, due_at=after(30))
    await store.tried(delivery, taken, due_at=after(99))
    (noted,) = await store.deliveries(delivery.job_id)
    assert (noted.id, noted.state) == (delivery.id, "delivered")
    assert noted.attempts == [unheard, refused, taken]
    assert await store.owed(at=after(999), limit=9) == []
    assert await store.next_delivery_due(after=START) is None


async def test_a_delivery_that_a_wrong_clock_put_off_for_years_is_due(store: Store) -> None:
    delivery = await owed_one(store)
    await store.tried(delivery, Attempt(at=after(YEAR_S), status=500), due_at=after(YEAR_S + 10))
    assert await store.owed(at=after(9), latest=after(YEAR_S + 10), limit=9) == []
    [found] = await store.owed(at=after(9), latest=after(DAY_S), limit=9)
    assert found.id == delivery.id


async def test_a_delivery_without_another_attempt_is_given_up(store: Store) -> None:
    delivery = await owed_one(store)
    await store.tried(delivery, Attempt(at=START, status=410), due_at=None)
    (noted,) = await store.deliveries(delivery.job_id)
    assert noted.state == "given_up"
    assert await store.owed(at=after(999), limit=9) == []


async def test_what_was_delivered_stays_so(store: Store) -> None:
    delivery = await owed_one(store)
    await store.tried(delivery, Attempt(at=START, status=200), due_at=None)
    await store.tried(delivery, Attempt(at=after(1), status=500), due_at=after(10))
    (noted,) = await store.deliveries(delivery.job_id)
    assert (noted.state, len(noted.attempts)) == ("delivered", 1)


async def test_an_attempt_for_a_job_that_was_deleted_is_nothing(store: Store) -> None:
    delivery = await owed_one(store)
    await store.delete(delivery.job_id, "ann")
    await store.tried(delivery, Attempt(at=START, status=200), due_at=None)
    assert await store.deliveries(delivery.job_id) == []


async def test_the_longest_due_go_first_but_for_receivers_left_out(store: Store) -> None:
    second = await owed_one(store, at=after(2))
    first = await owed_one(store, at=after(1), url="https://Slow.example/x")
    third = await owed_one(store, at=after(3))
    assert await store.owed(at=after(9), limit=9) == [first, second, third]
    assert await store.owed(at=after(9), limit=1, without={"slow.example"}) == [second]
    assert await store.next_delivery_due(after=after(1)) == after(2)


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
