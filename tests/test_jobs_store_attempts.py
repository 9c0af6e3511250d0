"""The store of jobs, for who works on them: whose turn it is, which attempt counts, what is owed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from storing import (
    DAY_S,
    DIGEST,
    HOOK,
    START,
    TRANSCRIPT,
    YEAR_S,
    after,
    failure,
    new,
    opened,
    owed_one,
    running,
)

from whisperd.jobs.model import Attempt, JobError, Source
from whisperd.jobs.store import Store
from whisperd.transcript.model import Transcript


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path / "jobs") as store:
        yield store


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
