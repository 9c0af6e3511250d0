"""Jobs and deliveries as rows of the database."""

import datetime
from collections.abc import Iterator
from sqlite3 import Connection
from typing import Any, Final

import msgspec

from whisperd.errors import UnknownJob
from whisperd.jobs.model import Delivery, Job
from whisperd.transcript.model import PRIORITIES

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)

_encoder: Final = msgspec.json.Encoder()
_job_decoder: Final = msgspec.json.Decoder(Job)
_delivery_decoder: Final = msgspec.json.Decoder(Delivery)


def micros(at: datetime.datetime | None) -> int | None:
    """A time as it stands in columns."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def moment(value: int | None) -> datetime.datetime | None:
    """A column's time."""
    return None if value is None else _EPOCH + value * _MICROSECOND


def scalar(db: Connection, query: str, *values: Any) -> Any:
    """The one value that a query finds; None where it finds nothing."""
    row = db.execute(query, values).fetchone()
    return row and row[0]


def jobs(db: Connection, where: str, *values: Any) -> Iterator[Job]:
    """The jobs for which a condition holds; in its order, where it has one."""
    for (body,) in db.execute(f"SELECT body FROM jobs WHERE {where}", values):  # noqa: S608 - our own words
        yield _job_decoder.decode(body)


def job(db: Connection, job_id: str, owner: str | None = None) -> Job:
    """The job, if it is this owner's. Raises UnknownJob."""
    found = next(jobs(db, "id = ?", job_id), None)
    if found is None or owner not in (None, found.owner):
        raise UnknownJob("no job has this id")
    return found


def add(db: Connection, new: Job) -> Job:
    """A row for a new job; returns it as it is kept."""
    new = msgspec.structs.replace(new, revision=1, progress=None)
    row = {
        "id": new.id,
        "owner": new.owner,
        "idempotency_key": new.idempotency_key,
        "type": new.type,
        "created_at": micros(new.created_at),
        "deadline": micros(new.deadline),
        **_changing(new),
    }
    names = ", ".join(row)
    db.execute(f"INSERT INTO jobs ({names}) VALUES (:{names.replace(', ', ', :')})", row)  # noqa: S608
    return new


def change(db: Connection, old: Job, **changes: Any) -> Job:
    """Change a job, and tell its revision so; returns what it is now."""
    new = msgspec.structs.replace(old, revision=old.revision + 1, **changes)
    row = _changing(new)
    names = ", ".join(f"{name} = :{name}" for name in row)
    db.execute(f"UPDATE jobs SET {names} WHERE id = :id", row | {"id": new.id})  # noqa: S608
    return new


def _changing(job: Job) -> dict[str, Any]:
    """The columns of what may change in a job."""
    return {
        "status": job.status,
        "turn": PRIORITIES.index(job.priority) if job.status in ("pending", "queued") else None,
        "digest": job.source.digest,
        "due_at": micros(job.due_at),
        "completed_at": micros(job.completed_at),
        "suspect": job.suspect,
        "body": _encoder.encode(job),
    }


def deliveries(db: Connection, where: str, *values: Any) -> Iterator[Delivery]:
    """The deliveries for which a condition holds; in its order, where it has one."""
    for (body,) in db.execute(f"SELECT body FROM deliveries WHERE {where}", values):  # noqa: S608 - as above
        yield _delivery_decoder.decode(body)


def add_delivery(db: Connection, new: Delivery) -> None:
    """A row for a new delivery."""
    db.execute(
        "INSERT INTO deliveries (id, job_id, receiver, state, due_at, body) VALUES (?, ?, ?, ?, ?, ?)",
        (new.id, new.job_id, new.receiver, new.state, micros(new.due_at), _encoder.encode(new)),
    )


def change_delivery(db: Connection, old: Delivery, **changes: Any) -> None:
    """Change a delivery."""
    new = msgspec.structs.replace(old, **changes)
    db.execute(
        "UPDATE deliveries SET state = ?, due_at = ?, body = ? WHERE id = ?",
        (new.state, micros(new.due_at), _encoder.encode(new), new.id),
    )
