"""A desk with a real store and real files, in front of a service that answers what a test tells it to."""

import asyncio
import contextlib
import dataclasses
import datetime
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from conftest import changed
from fake_service import FakeFetcher, FakeService
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.jobs.audio import Recordings
from whisperd.jobs.desk import Desk
from whisperd.jobs.model import Job, JobStatus, Source, Work
from whisperd.jobs.sqlite import open_store
from whisperd.jobs.store import Store
from whisperd.media.spool import Spool
from whisperd.pipeline import Listener
from whisperd.transcript.model import Request, Transcript

OWNER = "ada"
AUDIO = b"RIFF, and what was said"
SOON_S = 0.01


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def new_job(*, url: str | None = None, **changes: Any) -> Job:
    """A job as a dialect makes it."""
    job = Job(
        id=str(uuid.uuid4()),
        type="transcription",
        status="pending",
        owner=OWNER,
        source=Source(url=url, filename="talk.wav"),
        work=Work(),
        created_at=utc_now(),
    )
    return replace(job, **changes)


class Faulty(FakeService):
    """Fails as often as it is told to, and notes the order of what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception] = []
        self.running = 0
        self.most_running = 0

    async def process(self, request: Request, listener: Listener | None = None) -> Transcript:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.failures:
                self.requests.append(request)
                raise self.failures.pop(0)
            return await super().process(request, listener)
        finally:
            self.running -= 1


@dataclasses.dataclass
class Disk:
    """How much room there is."""

    free: int = 2**50
    path: Path | None = None

    def usage(self, path: Path) -> "Disk":
        self.path = path
        return self


@dataclasses.dataclass
class Office:
    """A desk and all that stands behind it."""

    desk: Desk
    store: Store
    recordings: Recordings
    service: Faulty
    fetcher: FakeFetcher
    spool: Path
    disk: Disk
    ended: list[tuple[Job, Transcript | None]]

    async def hand_in(self, audio: bytes = AUDIO, **changes: Any) -> Job:
        """A job whose recording was uploaded."""
        with self.desk.incoming.directory() as directory:
            path = directory / "upload"
            path.write_bytes(audio)
            return await self.desk.accept(new_job(**changes), path)

    async def send_for(self, url: str, **changes: Any) -> Job:
        """A job whose recording is to be fetched."""
        return await self.desk.accept(new_job(url=url, **changes), None)

    async def over(self, job: Job, status: JobStatus | None = None) -> Job:
        """The job when it has ended, as it should."""
        ended = await self.desk.wait(job.id, job.owner, 20)
        assert ended.ended
        assert status in (None, ended.status), ended.error
        return ended

    async def when(self, job: Job, condition: Callable[[Job], object]) -> Job:
        """The job as it is kept when a condition holds for it."""
        async with asyncio.timeout(20):
            while not condition(kept := await self.store.get(job.id, job.owner)):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(SOON_S)
        return kept

    def kept(self) -> list[bytes]:
        """The recordings that are there."""
        files = (path for path in self.recordings.path("0" * 64).parent.parent.rglob("*") if path.is_file())
        return [path.read_bytes() for path in files]


@contextlib.asynccontextmanager
async def office(
    live: Live,
    *,
    tended: bool = True,
    running: int = 2,
    first_pause_s: float = SOON_S,
    now: Callable[[], datetime.datetime] = utc_now,
    store_of: Callable[[Store], Store] = lambda store: store,
) -> AsyncIterator[Office]:
    """The jobs of the configured state directory; `store_of` may put something in front of their store."""
    directory = live.current.paths.state / "jobs"
    spool = Spool(live.current.paths.spool)
    spool.sweep()
    real = await open_store(directory)
    try:
        store = store_of(real)
        recordings = Recordings(directory, needed=store.needed)
        service, fetcher, disk = Faulty(), FakeFetcher(spool), Disk()
        ended: list[tuple[Job, Transcript | None]] = []
        desk = Desk(
            live,
            store,
            recordings,
            spool=spool,
            fetcher=fetcher,
            service=service,
            running=running,
            ended=lambda job, transcript: ended.append((job, transcript)),
            disk_usage=disk.usage,
            now=now,
            first_pause_s=first_pause_s,
        )
        it = Office(desk, store, recordings, service, fetcher, spool.root, disk, ended)
        if tended:
            async with desk.tended():
                yield it
        else:
            await recordings.sweep()
            yield it
    finally:
        await real.close()


def with_jobs(live: Live, **options: object) -> Live:
    """The same configuration, with some options of [jobs] set."""
    return Live(changed(live.current, "jobs", **options))
