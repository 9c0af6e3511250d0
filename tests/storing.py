"""A store of jobs in a directory of a test's own, and jobs in every state to put into it."""

import contextlib
import datetime
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from whisperd.jobs.model import Delivery, Job, JobError, Source, Work
from whisperd.jobs.sqlite import open_store
from whisperd.jobs.store import Store
from whisperd.transcript.model import Segment, Transcript, Turn, Word

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


async def owed_one(store: Store, at: datetime.datetime = START, url: str = HOOK) -> Delivery:
    job = await completed(store, webhook_url=url, at=at)
    (delivery,) = await store.deliveries(job.id)
    return delivery
