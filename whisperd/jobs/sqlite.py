"""The store of one machine: an SQLite database in its state directory."""

import asyncio
import datetime
import fcntl
import functools
import os
import uuid
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final, get_args

import msgspec

from whisperd.errors import IdempotencyKeyReused, NotCancellable, StartError
from whisperd.jobs import rows
from whisperd.jobs.model import Attempt, Delivery, Job, JobError, JobStatus, JobType, Source
from whisperd.jobs.schema import SCHEMA
from whisperd.jobs.store import Recovered, Store
from whisperd.sqlite import Database
from whisperd.transcript.model import Transcript

_DEFLATION: Final = 1
"""The fastest level: a third of the size is left, and the slower ones take little more off."""
_LONGEST_PAUSE: Final = datetime.timedelta(days=1)
"""No job is put off for longer."""


async def open_store(directory: Path) -> Store:
    """Open the jobs of a directory, or begin with none. One process may have them open at a time.

    Raises StartError when another one has, or when the database can't be used.
    """
    return await SqliteStore.open(directory)


class SqliteStore(Store):
    """Jobs in a database of their own; what is done to one is one transaction."""

    def __init__(self, database: Database, claim: int) -> None:
        self._database = database
        self._claim = claim

    @classmethod
    async def open(cls, directory: Path) -> "SqliteStore":
        """As `open_store`."""
        claim = _claimed(directory)
        try:
            return cls(await Database.open(directory / "jobs.db", SCHEMA), claim)
        except BaseException:
            os.close(claim)
            raise

    async def close(self) -> None:
        await self._database.close()
        os.close(self._claim)

    # ---- owners ----------------------------------------------------------------------------------

    async def add(self, job: Job) -> Job:
        def step(db: Connection) -> Job:
            if job.idempotency_key is not None:
                mine = "owner = ? AND idempotency_key = ?"
                earlier = next(rows.jobs(db, mine, job.owner, job.idempotency_key), None)
                if earlier and earlier.fingerprint != job.fingerprint:
                    raise IdempotencyKeyReused(
                        "this Idempotency-Key came before, with a request for something else"
                    )
                if earlier:
                    return earlier
            return rows.add(db, job)

        return await self._database.write(step)

    async def get(self, job_id: str, owner: str) -> Job:
        return await self._database.read(lambda db: rows.job(db, job_id, owner))

    async def list(
        self,
        owner: str,
        *,
        status: JobStatus | None = None,
        kind: JobType | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Job]:
        wanted = {"owner": owner, "status": status, "type": kind}
        filters = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in filters)
        newest_first = f"{where} ORDER BY created_at DESC, seq DESC LIMIT ? OFFSET ?"
        return await self._database.read(
            lambda db: [*rows.jobs(db, newest_first, *filters.values(), limit, offset)]
        )

    async def transcript(self, job_id: str) -> Transcript | None:
        query = "SELECT body FROM transcripts WHERE job_id = ?"
        body = await self._database.read(lambda db: rows.scalar(db, query, job_id))
        return None if body is None else await asyncio.to_thread(_unpacked, body)

    async def cancel(self, job_id: str, owner: str, *, at: datetime.datetime) -> Job:
        def step(db: Connection) -> Job:
            job = rows.job(db, job_id, owner)
            if job.ended:
                raise NotCancellable(f"the job can't be cancelled: it is {job.status}")
            return rows.change(db, job, status="cancelled", completed_at=at, due_at=None)

        return await self._database.write(step)

    async def delete(self, job_id: str, owner: str) -> Job:
        def step(db: Connection) -> Job:
            job = rows.job(db, job_id, owner)
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            return job

        return await self._database.write(step)

    # ---- the runner ------------------------------------------------------------------------------

    async def recover(self, *, but: Collection[str] = ()) -> Recovered:
        def step(db: Connection) -> Recovered:
            interrupted = [*rows.jobs(db, "status = 'processing'")]
            released = [_release(db, job) for job in interrupted if job.id not in but]
            return Recovered(len(released), [job for job in interrupted if job.id in but])

        return await self._database.write(step)

    async def claim(
        self, *, at: datetime.datetime, fetched: bool = False, trusted: bool = False
    ) -> Job | None:
        is_due = "(coalesce(due_at, 0) <= ? OR due_at > ?)"
        due = f"{_waits(fetched, trusted)} AND {is_due} ORDER BY turn, created_at, seq LIMIT 1"
        false = at + _LONGEST_PAUSE

        def step(db: Connection) -> Job | None:
            job = next(rows.jobs(db, due, rows.micros(at), rows.micros(false)), None)
            return job and rows.change(
                db,
                job,
                status="processing",
                started_at=at,
                due_at=None,
                attempts=job.attempts + 1,
                began=job.revision + 1,
            )

        return await self._database.write(step)

    async def next_due(self, *, fetched: bool = False, trusted: bool = False) -> datetime.datetime | None:
        query = f"SELECT min(due_at) FROM jobs WHERE {_waits(fetched, trusted)}"  # noqa: S608 - our own words
        return rows.moment(await self._database.read(lambda db: rows.scalar(db, query)))

    async def overdue(self, *, at: datetime.datetime) -> Sequence[Job]:
        late = "completed_at IS NULL AND deadline <= ? ORDER BY deadline"
        return await self._database.read(lambda db: [*rows.jobs(db, late, rows.micros(at))])

    async def fetched(self, job_id: str, attempt: int, source: Source) -> Job | None:
        def step(db: Connection, job: Job) -> Job:
            return rows.change(db, job, source=source, status="queued", attempts=job.attempts - 1)

        return await self._go_on(job_id, attempt, step)

    async def complete(
        self, job_id: str, attempt: int, transcript: Transcript, *, at: datetime.datetime
    ) -> Job | None:
        body = await asyncio.to_thread(_packed, transcript)

        def step(db: Connection, job: Job) -> Job:
            db.execute("INSERT INTO transcripts (job_id, body) VALUES (?, ?)", (job_id, body))
            duration_s = transcript.duration
            return _end(db, job, at, status="completed", audio_duration_s=duration_s)

        return await self._go_on(job_id, attempt, step)

    async def fail(self, job_id: str, attempt: int, error: JobError) -> Job | None:
        def step(db: Connection, job: Job) -> Job:
            # A job whose time is up while it waits has not failed at an attempt.
            causes = [*job.causes, error] if job.status == "processing" else job.causes
            return _end(db, job, error.at, status="failed", error=error, causes=causes)

        return await self._go_on(job_id, attempt, step, also_waiting=True)

    async def retry(
        self, job_id: str, attempt: int, error: JobError, *, due_at: datetime.datetime
    ) -> Job | None:
        def step(db: Connection, job: Job) -> Job:
            causes = [*job.causes, error]
            return rows.change(db, job, status=_waiting(job), due_at=due_at, causes=causes)

        return await self._go_on(job_id, attempt, step)

    async def release(
        self, job_id: str, attempt: int, *, due_at: datetime.datetime | None = None
    ) -> Job | None:
        return await self._go_on(job_id, attempt, functools.partial(_release, due_at=due_at))

    async def _go_on(
        self,
        job_id: str,
        attempt: int,
        step: Callable[[Connection, Job], Job],
        *,
        also_waiting: bool = False,
    ) -> Job | None:
        """Take a step with a job, if this attempt is the one that it is at."""

        def fenced(db: Connection) -> Job | None:
            job = next(rows.jobs(db, "id = ?", job_id), None)
            if job is None or job.ended or job.attempts != attempt:
                return None
            return step(db, job) if also_waiting or job.status == "processing" else None

        return await self._database.write(fenced)

    # ---- webhooks --------------------------------------------------------------------------------

    async def owed(
        self,
        *,
        at: datetime.datetime,
        limit: int,
        without: Collection[str] = (),
        latest: datetime.datetime | None = None,
    ) -> Sequence[Delivery]:
        due = """
            state = 'pending' AND (due_at <= ? OR due_at > ?)
            AND receiver NOT IN (SELECT value FROM json_each(?))
            ORDER BY due_at LIMIT ?
            """
        others = msgspec.json.encode(list(without)).decode()
        return await self._database.read(
            lambda db: [*rows.deliveries(db, due, rows.micros(at), rows.micros(latest), others, limit)]
        )

    async def next_delivery_due(self, *, after: datetime.datetime) -> datetime.datetime | None:
        query = "SELECT min(due_at) FROM deliveries WHERE state = 'pending' AND due_at > ?"
        return rows.moment(await self._database.read(lambda db: rows.scalar(db, query, rows.micros(after))))

    async def tried(self, delivery: Delivery, attempt: Attempt, *, due_at: datetime.datetime | None) -> None:
        def step(db: Connection) -> None:
            kept = next(rows.deliveries(db, "id = ?", delivery.id), None)
            if kept is None or kept.state != "pending":
                return  # its job was deleted, or another attempt was noted meanwhile
            outcome = {"state": "delivered"} if _taken(attempt) else _again(due_at)
            rows.change_delivery(db, kept, attempts=[*kept.attempts, attempt], **outcome)

        await self._database.write(step)

    async def deliveries(self, job_id: str) -> Sequence[Delivery]:
        return await self._database.read(lambda db: [*rows.deliveries(db, "job_id = ? ORDER BY seq", job_id)])

    # ---- retention -------------------------------------------------------------------------------

    async def ended_before(
        self, at: datetime.datetime, *, limit: int, with_audio: bool = False
    ) -> Sequence[Job]:
        owed = "SELECT 1 FROM deliveries WHERE job_id = jobs.id AND state = 'pending'"
        which = "digest IS NOT NULL" if with_audio else f"NOT EXISTS ({owed})"
        ended = f"completed_at < ? AND {which} ORDER BY completed_at, seq LIMIT ?"
        return await self._database.read(lambda db: [*rows.jobs(db, ended, rows.micros(at), limit)])

    async def forget_audio(self, job_id: str) -> None:
        def step(db: Connection) -> None:
            for job in rows.jobs(db, "id = ? AND digest IS NOT NULL", job_id):
                rows.change(db, job, source=msgspec.structs.replace(job.source, digest=None))

        await self._database.write(step)

    async def needed(self, digest: str) -> bool:
        query = "SELECT EXISTS (SELECT 1 FROM jobs WHERE digest = ?)"
        return bool(await self._database.read(lambda db: rows.scalar(db, query, digest)))

    async def counts(self) -> dict[JobStatus, int]:
        query = "SELECT status, count(*) FROM jobs GROUP BY status"
        found: dict[JobStatus, int] = dict(await self._database.read(lambda db: db.execute(query).fetchall()))
        return {status: found.get(status, 0) for status in get_args(JobStatus)}


# ---- steps of a job ------------------------------------------------------------------------------


def _waits(fetched: bool, trusted: bool) -> str:
    """The condition that a job waits for its turn; `fetched`: with its recording; `trusted`: no suspect."""
    return "turn IS NOT NULL" + " AND digest IS NOT NULL" * fetched + " AND NOT suspect" * trusted


def _waiting(job: Job) -> JobStatus:
    """What a job is while it waits for its turn."""
    return "queued" if job.source.digest else "pending"


def _release(db: Connection, job: Job, due_at: datetime.datetime | None = None) -> Job:
    return rows.change(db, job, status=_waiting(job), due_at=due_at, attempts=job.attempts - 1)


def _end(db: Connection, job: Job, at: datetime.datetime, **changes: Any) -> Job:
    """End a job, and owe the webhook that tells of it."""
    ended = rows.change(db, job, completed_at=at, due_at=None, **changes)
    if ended.webhook_url is not None:
        rows.add_delivery(
            db,
            Delivery(
                id=f"msg_{uuid.uuid4().hex}",
                job_id=ended.id,
                owner=ended.owner,
                url=ended.webhook_url,
                event="job.completed" if ended.status == "completed" else "job.failed",
                created_at=at,
                due_at=at,
            ),
        )
    return ended


def _taken(attempt: Attempt) -> bool:
    """Whether the receiver said that it has the webhook."""
    return attempt.status is not None and 200 <= attempt.status < 300


def _again(due_at: datetime.datetime | None) -> dict[str, Any]:
    return {"state": "given_up"} if due_at is None else {"due_at": due_at}


# ---- on disk -------------------------------------------------------------------------------------


def _claimed(directory: Path) -> int:
    """A lock on the directory, gone when its descriptor is closed. Raises StartError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StartError(f"can't open {directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StartError(f"another whisperd works on the jobs in {directory}") from error
    return descriptor


def _packed(transcript: Transcript) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(transcript), _DEFLATION)


def _unpacked(body: bytes) -> Transcript:
    return msgspec.msgpack.decode(zlib.decompress(body), type=Transcript)
