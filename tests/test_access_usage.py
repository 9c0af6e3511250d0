"""What was used: rows, sums, and what becomes of them when the disk fails."""

import contextlib
import datetime
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from keychain import HOUR, NOW

from whisperd.access.ring import Ring
from whisperd.access.schema import SCHEMA, database
from whisperd.access.usage import Group, Total, Usage, Use, fold, totals
from whisperd.errors import Unavailable
from whisperd.sqlite import Database

DAY = 24 * HOUR
T = TypeVar("T")


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Database]:
    books = await Database.open(database(tmp_path), SCHEMA)
    yield books
    await books.close()


def use(**options: Any) -> Use:
    defaults: dict[str, Any] = {
        "at": NOW,
        "owner": "ann",
        "key_id": "k1",
        "endpoint": "/v1/audio/transcriptions",
        "method": "POST",
        "status": 200,
        "latency_s": 2.0,
        "audio_s": 60.0,
        "wall_s": 1.5,
        "device_s": 1.25,
        "tokens_in": 3,
        "tokens_out": 4,
    }
    return Use(**(defaults | options))


async def written(books: Database, *uses: Use) -> None:
    usage = Usage()
    for each in uses:
        usage.record(each)
    await usage.write(books)


async def sums(books: Database, *by: Group, **days: datetime.date) -> list[Total]:
    return await books.read(lambda connection: totals(connection, by, **days))


async def count(books: Database) -> int:
    return await books.read(lambda connection: connection.execute("SELECT count(*) FROM usage").fetchone()[0])


async def test_a_row_has_everything(books: Database) -> None:
    await written(books, use())
    rows = await books.read(lambda connection: connection.execute("SELECT * FROM usage").fetchall())
    assert rows == [
        (NOW.timestamp(), "ann", "k1", "/v1/audio/transcriptions", "POST", 200, 2.0, 60.0, 1.5, 1.25, 3, 4)
    ]


async def test_rows_are_summed_by_key(books: Database, tmp_path: Path) -> None:
    with contextlib.closing(Ring.open(tmp_path)) as ring:
        key, _ = ring.create(name="notes", owner="ann", permissions=("stt",), rate_limit=60, at=NOW)
    await written(
        books,
        use(key_id=key.id),
        use(key_id=key.id, status=404, latency_s=1.0, audio_s=0.0),
        use(key_id=None, owner="anybody", status=500),
    )
    named, nobody = await sums(books, "key")
    assert named == Total(
        key=key.id,
        name="notes",
        owner="ann",
        requests=2,
        jobs=0,
        failed=1,
        audio_s=60.0,
        wall_s=3.0,
        device_s=2.5,
        tokens_in=6,
        tokens_out=8,
        latency_s=1.5,
    )
    assert (nobody.owner, nobody.key, nobody.name, nobody.failed) == ("anybody", "", None, 1)


async def test_jobs_are_counted_by_themselves_and_their_waiting_is_nobodys_latency(books: Database) -> None:
    job = use(method="JOB", endpoint="transcription", latency_s=3600.0, audio_s=30.0)
    await written(books, use(audio_s=0.0), job, use(owner="bob", method="JOB", status=500, latency_s=7.0))
    ann, bob = before = await sums(books, "owner")
    assert (ann.requests, ann.jobs, ann.failed, ann.audio_s, ann.latency_s) == (1, 1, 0, 30.0, 2.0)
    assert (bob.requests, bob.jobs, bob.failed, bob.latency_s) == (0, 1, 1, 0.0)
    await books.write(lambda connection: fold(connection, NOW + DAY))
    assert await sums(books, "owner") == before


async def test_rows_are_summed_by_owner_and_by_day(books: Database) -> None:
    await written(books, use(), use(key_id="k2"), use(at=NOW + DAY), use(owner="bob", at=NOW + DAY))
    assert [(total.owner, total.requests) for total in await sums(books, "owner")] == [("ann", 3), ("bob", 1)]
    by_day = await sums(books, "day")
    assert [(str(total.day), total.requests) for total in by_day] == [("2026-11-21", 2), ("2026-11-22", 2)]
    both = await sums(books, "day", "key")
    assert [(str(total.day), total.key, total.owner) for total in both] == [
        ("2026-11-21", "k1", "ann"),
        ("2026-11-21", "k2", "ann"),
        ("2026-11-22", "k1", "ann"),
        ("2026-11-22", "k1", "bob"),
    ]


async def test_the_first_and_the_last_day_are_among_those_that_are_summed(books: Database) -> None:
    midnight = NOW.replace(hour=0, minute=0)
    await written(books, *(use(at=midnight + days * DAY) for days in (-1, 0, 1)), use(at=midnight + 2 * DAY))
    [total] = await sums(books, "owner", since=midnight.date(), until=(midnight + DAY).date())
    assert total.requests == 2
    [total] = await sums(books, "owner", since=midnight.date())
    assert total.requests == 3
    [total] = await sums(books, "owner", until=midnight.date())
    assert total.requests == 2


async def test_whole_days_are_folded_and_the_sums_stay_as_they_were(books: Database) -> None:
    uses = [
        use(at=NOW - 2 * DAY),
        use(at=NOW - 2 * DAY, status=404),
        use(at=NOW - DAY, key_id=None, owner="anybody"),
        use(at=NOW),
    ]
    await written(books, *uses)
    before = [await sums(books, "day", "key"), await sums(books, "owner")]
    assert await books.write(lambda connection: fold(connection, NOW)) == 3
    assert await count(books) == 1
    assert [await sums(books, "day", "key"), await sums(books, "owner")] == before
    [total] = await sums(books, "owner", until=(NOW - 2 * DAY).date())
    assert (total.requests, total.failed) == (2, 1)


async def test_rows_that_come_late_are_added_to_their_day(books: Database) -> None:
    for _ in range(2):
        await written(books, use(at=NOW - 2 * DAY))
        assert await books.write(lambda connection: fold(connection, NOW)) == 1
    [total] = await sums(books, "day")
    assert (total.requests, total.audio_s, total.latency_s) == (2, 120.0, 2.0)


class Full(Database):
    """A disk that is full while a test says so."""

    def __init__(self, books: Database) -> None:
        self.books = books
        self.full = True

    async def write(self, step: Callable[[sqlite3.Connection], T]) -> T:
        if self.full:
            raise Unavailable("the disk is full")
        return await self.books.write(step)


async def test_what_can_not_be_written_is_written_later(books: Database) -> None:
    disk = Full(books)
    usage = Usage()
    usage.record(use(endpoint="first"))
    await usage.write(disk)
    usage.record(use(endpoint="second"))
    disk.full = False
    await usage.write(disk)
    await usage.write(disk)
    rows = await books.read(lambda connection: connection.execute("SELECT endpoint FROM usage").fetchall())
    assert rows == [("first",), ("second",)]


async def test_what_waits_has_a_limit_and_what_is_lost_is_told(
    books: Database, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Full(books)
    usage = Usage()
    for _ in range(10_003):
        usage.record(use())
    await usage.write(disk)
    disk.full = False
    await usage.write(disk)
    assert await count(books) == 10_000
    assert "3 rows of usage are lost" in caplog.text
