"""Databases: what was committed stays, what can't be used is left alone, and no step spoils another."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from whisperd.errors import StartError, Unavailable, UnknownJob, WhisperdError
from whisperd.sqlite import Database, Schema, connect, transaction

FIRST = ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",)
SECOND = ("ALTER TABLE notes ADD COLUMN author TEXT", "UPDATE notes SET author = 'nobody'")
SCHEMA = Schema(application_id=0x74657374, migrations=(FIRST,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes" / "notes.db"


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path, SCHEMA)
    try:
        yield database
    finally:
        await database.close()


def note(text: str, connection: Connection) -> None:
    connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))


async def write(database: Database, text: str) -> None:
    await database.write(lambda connection: note(text, connection))


def texts(connection: Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")]


def texts_in(path: Path) -> list[str]:
    with contextlib.closing(connect(path, SCHEMA)) as connection:
        return texts(connection)


def pragma(connection: Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def bytes_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


# ---- opening -------------------------------------------------------------------------------------


def test_a_database_waits_for_the_disk_and_is_nobody_elses(path: Path) -> None:
    with contextlib.closing(connect(path, SCHEMA)) as connection:
        note("x", connection)
        full = 2
        assert pragma(connection, "synchronous") == full
        assert pragma(connection, "journal_mode") == "wal"
        assert pragma(connection, "foreign_keys") == 1
        assert pragma(connection, "application_id") == SCHEMA.application_id
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"notes.db": 0o600, "notes.db-wal": 0o600, "notes.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_older_database_is_brought_to_the_newest_version(path: Path) -> None:
    with contextlib.closing(connect(path, SCHEMA)) as connection:
        note("old", connection)
    with contextlib.closing(connect(path, Schema(SCHEMA.application_id, (FIRST, SECOND)))) as connection:
        assert connection.execute("SELECT text, author FROM notes").fetchall() == [("old", "nobody")]
        assert pragma(connection, "user_version") == 2


def test_a_migration_that_fails_leaves_the_version_before_it(path: Path) -> None:
    connect(path, SCHEMA).close()
    with pytest.raises(StartError, match="nowhere"):
        connect(path, Schema(SCHEMA.application_id, (FIRST, (SECOND[0], "UPDATE nowhere SET x = 1"))))
    with contextlib.closing(connect(path, SCHEMA)) as connection:
        assert [row[1] for row in connection.execute("PRAGMA table_info (notes)")] == ["id", "text"]
        assert pragma(connection, "user_version") == 1


def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    connect(path, Schema(SCHEMA.application_id, (FIRST, SECOND))).close()
    before = bytes_of(path.parent)
    with pytest.raises(StartError, match="newer whisperd"):
        connect(path, SCHEMA)
    assert bytes_of(path.parent) == before


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = bytes_of(path.parent)
    with pytest.raises(StartError, match="another program"):
        connect(path, SCHEMA)
    assert bytes_of(path.parent) == before


def test_a_directory_that_can_not_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="can't open"):
        connect(tmp_path / "file" / "notes.db", SCHEMA)


@pytest.mark.parametrize("damage", ["garbage", "header"])
def test_a_damaged_file_is_told_of_and_left_alone(path: Path, damage: str) -> None:
    with contextlib.closing(connect(path, SCHEMA)) as connection:
        note("precious", connection)
    kept = path.read_bytes()
    path.write_bytes(os.urandom(len(kept)) if damage == "garbage" else b"\0" * 16 + kept[16:])
    before = bytes_of(path.parent)
    with pytest.raises(StartError) as refusal:
        connect(path, SCHEMA)
    assert str(path) in refusal.value.message
    assert ".recover" in refusal.value.message
    assert bytes_of(path.parent) == before


async def test_damage_that_is_met_later_is_for_the_journal(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as database:
        for _ in range(200):
            await write(database, "x" * 1000)
    page = 4096
    with path.open("r+b") as file:
        file.seek(20 * page)
        file.write(b"\xff" * 10 * page)
    async with opened(path) as database:
        with pytest.raises(WhisperdError) as told:
            await database.read(texts)
    assert str(path) not in told.value.message
    assert str(path) in caplog.text


# ---- crashes -------------------------------------------------------------------------------------


@pytest.fixture
def torn(path: Path, tmp_path: Path) -> Path:
    """What a loss of power leaves of a database with three notes: its files as they were at that moment."""
    with contextlib.closing(connect(path, SCHEMA)) as connection:
        for text in ("one", "two", "three"):
            note(text, connection)
        shutil.copytree(path.parent, tmp_path / "torn")
    (tmp_path / "torn" / "notes.db-shm").unlink()
    return tmp_path / "torn" / path.name


@pytest.mark.parametrize(
    "tail", [b"garbage", os.urandom(4120), b"\0" * 10_000], ids=["few", "frame", "zeros"]
)
def test_what_a_crash_appended_to_the_log_is_dropped(torn: Path, tail: bytes) -> None:
    with torn.with_name("notes.db-wal").open("ab") as log:
        log.write(tail)
    assert texts_in(torn) == ["one", "two", "three"]


@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_a_damaged_last_frame_takes_its_own_transaction_and_no_other(torn: Path, harm: str) -> None:
    log = torn.with_name("notes.db-wal")
    whole = log.read_bytes()
    log.write_bytes(whole[:-1] if harm == "cut" else whole[:-50] + b"\xff" + whole[-49:])
    assert texts_in(torn) == ["one", "two"]


WRITER = """
import asyncio, sys
from pathlib import Path
from test_sqlite import SCHEMA, write
from whisperd.sqlite import Database

async def main():
    database = await Database.open(Path(sys.argv[1]), SCHEMA)
    for start in range(0, 1_000_000, 5):
        await asyncio.gather(*(write(database, str(number)) for number in range(start, start + 5)))
        print(start + 4, flush=True)

asyncio.run(main())
"""

OPENER = """
import sys
from pathlib import Path
from test_sqlite import SCHEMA, note
from whisperd.sqlite import connect

note("x", connect(Path(sys.argv[1]), SCHEMA))
"""


def started(program: str, path: Path) -> subprocess.Popen[str]:
    """A process of its own that uses the database."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_what_was_told_to_be_written_is_there_after_a_kill(path: Path) -> None:
    with started(WRITER, path) as writer:
        assert writer.stdout
        told = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        told += map(int, writer.stdout.read().splitlines())
    found = texts_in(path)
    assert found == [str(number) for number in range(len(found))]
    assert len(found) > told[-1]


def test_processes_that_make_a_database_at_once_make_one(path: Path) -> None:
    openers = [started(OPENER, path) for _ in range(6)]
    for opener in openers:
        opener.communicate()
    assert [opener.returncode for opener in openers] == [0] * 6
    assert texts_in(path) == ["x"] * 6


# ---- steps ---------------------------------------------------------------------------------------


_ADDING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO notes (text) VALUES ('theirs')")
connection.close()
"""


async def test_another_process_that_closes_the_database_takes_nothing_from_this_one(path: Path) -> None:
    def add() -> None:
        subprocess.run([sys.executable, "-c", _ADDING, str(path)], check=True)

    async with opened(path) as database:
        await write(database, "ours")
        await asyncio.to_thread(add)
        await write(database, "ours too")
        await asyncio.to_thread(add)
        assert await database.read(texts) == ["ours", "theirs", "ours too", "theirs"]
    assert texts_in(path) == ["ours", "theirs", "ours too", "theirs"]


def test_a_transaction_is_done_as_a_whole_or_not_at_all(path: Path) -> None:
    with contextlib.closing(connect(path, SCHEMA)) as connection:
        with contextlib.suppress(KeyError), transaction(connection):
            note("half", connection)
            raise KeyError
        with transaction(connection):
            note("whole", connection)
        assert texts(connection) == ["whole"]


async def test_a_step_that_raises_undoes_itself_and_no_other_that_shares_its_transaction(path: Path) -> None:
    def half(connection: Connection) -> None:
        note("half", connection)
        raise UnknownJob("none")

    async with opened(path) as database:
        async with held(database):
            steps = [
                asyncio.create_task(write(database, "one")),
                asyncio.create_task(database.write(half)),
                asyncio.create_task(write(database, "two")),
            ]
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*steps, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), UnknownJob, type(None)]
        assert await database.read(texts) == ["one", "two"]


async def test_a_step_that_spoils_its_transaction_fails_alone(path: Path) -> None:
    def spoiling(connection: Connection) -> None:
        note("spoilt", connection)
        connection.execute("INSERT OR ROLLBACK INTO notes (id, text) VALUES (1, 'again')")

    async with opened(path) as database:
        await write(database, "first")
        async with held(database):
            steps = [
                asyncio.create_task(write(database, "before")),
                asyncio.create_task(database.write(spoiling)),
                asyncio.create_task(write(database, "after")),
            ]
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*steps, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), sqlite3.IntegrityError, type(None)]
        assert await database.read(texts) == ["first", "before", "after"]


async def test_a_step_that_was_not_begun_is_cancelled(path: Path) -> None:
    async with opened(path) as database:
        async with held(database):
            step = asyncio.create_task(write(database, "never"))
            await asyncio.sleep(0)
            step.cancel()
            with pytest.raises(asyncio.CancelledError):
                await step
        await write(database, "other")
        assert await database.read(texts) == ["other"]


async def test_a_step_that_was_begun_is_waited_for(path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        note("slow", connection)
        begun.set()
        go_on.wait()

    async with opened(path) as database:
        step = asyncio.create_task(database.write(slow))
        await asyncio.to_thread(begun.wait)
        step.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await step
        assert go_on.is_set()
        assert await database.read(texts) == ["slow"]


async def test_closing_writes_what_is_left(path: Path) -> None:
    database = await Database.open(path, SCHEMA)
    async with held(database):
        step = asyncio.create_task(write(database, "last"))
        await asyncio.sleep(0)
    await database.close()
    await step
    assert texts_in(path) == ["last"]
    assert not path.with_name("notes.db-wal").exists()


async def test_a_reader_can_not_write(path: Path) -> None:
    async with opened(path) as database:
        with pytest.raises(Unavailable):
            await database.read(lambda connection: note("x", connection))


async def test_a_full_disk_is_told_of_and_forgiven(path: Path) -> None:
    async with opened(path) as database:
        await write(database, "before")
        await database.write(lambda db: db.execute("PRAGMA max_page_count = 10").fetchone())
        async with held(database):
            steps = [
                asyncio.create_task(write(database, "small")),
                asyncio.create_task(write(database, "large" * 20_000)),
                asyncio.create_task(write(database, "small too")),
            ]
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*steps, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), Unavailable, type(None)]
        await database.write(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
        await write(database, "after")
        assert await database.read(texts) == ["before", "small", "small too", "after"]


@contextlib.asynccontextmanager
async def held(database: Database) -> AsyncIterator[None]:
    """Keep the writer busy, so that what is asked of it meanwhile comes into one transaction."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        begun.set()
        go_on.wait()

    holding = asyncio.create_task(database.write(hold))
    await asyncio.to_thread(begun.wait)
    try:
        yield
    finally:
        go_on.set()
        await holding
