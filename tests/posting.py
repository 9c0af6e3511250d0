"""Webhooks that are owed, and couriers for them, at a time that a test turns on."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Sequence

from fake_resolver import FakeResolver
from fetching import fetch_from_here

from whisperd.config.live import Live
from whisperd.config.schema import Config
from whisperd.egress import Egress, read
from whisperd.jobs.model import Attempt, Delivery, Job, JobError, JobType, Source, Work
from whisperd.jobs.sqlite import open_store
from whisperd.jobs.store import Store
from whisperd.jobs.webhook import Courier
from whisperd.media.transfer import Transfers
from whisperd.transcript.model import Transcript

OWNER = "ada"
SECONDS = datetime.timedelta(seconds=1)


class Clock:
    """The time of day, until a test turns it on."""

    def __init__(self) -> None:
        self.later = 0 * SECONDS

    def __call__(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + self.later


class Post:
    """A store with webhooks that are owed, and couriers for them."""

    def __init__(self, config: Config, store: Store) -> None:
        self.live = Live(config)
        self.store = store
        self.clock = Clock()
        self.jitter = 1.0
        self.jobs = 0
        self.courier: Courier

    @contextlib.asynccontextmanager
    async def tended(self, resolver: FakeResolver | None = None) -> AsyncIterator[Courier]:
        """A courier at work."""
        out = Egress(read(self.live.current.fetch))
        transfers = Transfers(self.live, out, lambda: resolver) if resolver else Transfers(self.live, out)
        self.courier = Courier(self.live, self.store, transfers, now=self.clock, jitter=lambda: self.jitter)
        async with self.courier.tended():
            yield self.courier

    async def owe(
        self, url: str, *, kind: JobType = "transcription", error: JobError | None = None, owner: str = OWNER
    ) -> str:
        """End a job whose webhook goes to the URL; returns the job's id."""
        self.jobs += 1
        job = await self.store.add(
            Job(
                id=f"00000000-0000-4000-8000-{self.jobs:012}",
                type=kind,
                status="queued",
                owner=owner,
                source=Source(digest="0" * 64),
                work=Work(),
                webhook_url=url,
                created_at=self.clock(),
            )
        )
        assert await self.store.claim(at=self.clock())
        if error:
            assert await self.store.fail(job.id, 1, error)
        else:
            assert await self.store.complete(job.id, 1, Transcript(duration=1.0), at=self.clock())
        return job.id

    async def delivery(self, job_id: str) -> Delivery:
        [delivery] = await self.store.deliveries(job_id)
        return delivery

    async def attempts(self, job_id: str, count: int) -> Sequence[Attempt]:
        """The attempts, once there are so many."""
        async with asyncio.timeout(20):
            while len(attempts := (await self.delivery(job_id)).attempts) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(attempts) == count
        return attempts

    async def to_the_next(self, job_id: str) -> datetime.timedelta:
        """Turn the clock to the next attempt; returns how long after the last one that is."""
        delivery = await self.delivery(job_id)
        self.clock.later += max(0 * SECONDS, delivery.due_at - self.clock())
        self.courier.poke()
        return delivery.due_at - delivery.attempts[-1].at


@contextlib.asynccontextmanager
async def posting(config: Config) -> AsyncIterator[Post]:
    """One with a store of its own, whose receivers may be on the loopback."""
    post = Post(fetch_from_here(config), await open_store(config.paths.state / "jobs"))
    yield post
    await post.store.close()  # which may be another by now
