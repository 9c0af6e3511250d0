"""SQLite databases that keep what was promised: what a committed step wrote outlives a loss of power.

`connect` is for programs that do one thing and end; the daemon holds a `Database`, whose threads keep the
waiting for the disk away from the event loop. Several processes may have the same file open.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final, Generic, Self, TypeVar

from whisperd.errors import StartError, Unavailable, WhisperdError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BUSY_S: Final = 10.0
"""How long one waits for another process's transaction."""
_WAL_BYTES: Final = 16 * 2**20
"""What the log may go on taking from the disk after a large transaction."""
_LARGEST_GROUP: Final = 200
"""Steps that share a transaction."""
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PASSING: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
"""What the machine lacks for the moment, and may have again."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a database."""

    application_id: int
    """In the file's header, where `file` looks for it: 32 bits of our own choice."""
    migrations: Sequence[Sequence[str]]
    """Statements that lead from each version to the next, the first ones from an empty file. A version that
    was published never changes; what is new is added at the end.
    """


def connect(path: Path, schema: Schema) -> Connection:
    """Open the database, make it where there is none, and bring it to the newest version.

    Statements commit by themselves; `transaction` makes one of several. Raises StartError, and changes
    nothing, when the file is damaged, somebody else's, of a newer version, or can't be opened.
    """
    connection = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        _check(connection, path, schema)
        _set_up(connection, path)
        _migrate(connection, schema)
    except (sqlite3.Error, OSError, StartError) as error:
        if connection:
            connection.close()
        if isinstance(error, StartError):
            raise
        raise StartError(_why_not(path, error)) from error
    return connection


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All that is written inside, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


class Database:
    """A database for use from the event loop: one thread writes, another reads."""

    def __init__(self, path: Path, writer: Connection, reader: Connection) -> None:
        self._path = path
        self._connections = (writer, reader)
        self._waiting: deque[_Write[Any]] = deque()
        self._writing = ThreadPoolExecutor(1, "sqlite-write")
        self._reading = ThreadPoolExecutor(1, "sqlite-read")

    @classmethod
    async def open(cls, path: Path, schema: Schema) -> Self:
        """Open as `connect` does."""
        writer = await asyncio.to_thread(connect, path, schema)
        reader = await asyncio.to_thread(connect, path, schema)
        reader.execute("PRAGMA query_only = ON")
        return cls(path, writer, reader)

    async def write(self, step: Callable[[Connection], T]) -> T:
        """Run a step in a transaction, and return what it returned once that is on the disk.

        Steps that wait at the same time share one transaction, and the one wait for the disk. What a step
        raises undoes that step alone. It may be run more than once, and must do nothing but use its
        connection. When cancelled, it was either not begun or is waited for. Raises Unavailable when the
        disk is full or fails; nothing of the step is left then.
        """
        write = _Write(step)
        self._waiting.append(write)
        self._writing.submit(self._commit_waiting)
        return await _ended(write.future)

    async def read(self, step: Callable[[Connection], T]) -> T:
        """Run a step that only looks; each of its statements sees all that was written before."""

        def run() -> T:
            try:
                return step(self._connections[1])
            except sqlite3.Error as error:
                raise self._told(error) from error

        return await _ended(self._reading.submit(run))

    async def close(self) -> None:
        """Write what is left, and close."""
        for threads in (self._writing, self._reading):
            await asyncio.to_thread(threads.shutdown)
        for connection in reversed(self._connections):
            await asyncio.to_thread(connection.close)

    # ---- the writer's thread ---------------------------------------------------------------------

    def _commit_waiting(self) -> None:
        group: list[_Write[Any]] = []
        while self._waiting and len(group) < _LARGEST_GROUP:
            write = self._waiting.popleft()
            if write.future.set_running_or_notify_cancel():
                group.append(write)
        if group:
            self._commit(group)

    def _commit(self, group: Sequence["_Write[Any]"]) -> None:
        connection = self._connections[0]
        try:
            with transaction(connection):
                for write in group:
                    write.run(connection)
        except sqlite3.Error as error:
            # Some failures undo the whole transaction: the others get one of their own.
            if len(group) > 1:
                for write in group:
                    self._commit([write])
            else:
                group[0].future.set_exception(self._told(error))
            return
        for write in group:
            write.tell()

    def _told(self, error: sqlite3.Error) -> Exception:
        """What callers are told of an error; the rest is for the journal."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it says which kind of it
        if code in _PASSING:
            logger.warning("%s: %s", self._path, error)
            return Unavailable("the server can't keep or read its records now", retry_after_s=30)
        if code in _DAMAGE:
            logger.critical("%s", _why_not(self._path, error))
            return WhisperdError("the server's records are damaged; its journal says more")
        return error


@dataclass(slots=True)
class _Write(Generic[T]):
    """A step that is to be written, and who waits for it."""

    step: Callable[[Connection], T]
    future: Future[T] = field(default_factory=Future)
    _result: T | Exception | None = None

    def run(self, connection: Connection) -> None:
        """Take the step, or leave no trace of it. Raises sqlite3.Error for what is the database's fault."""
        connection.execute("SAVEPOINT step")
        try:
            self._result = self.step(connection)
        except sqlite3.Error:
            raise
        except Exception as error:
            connection.execute("ROLLBACK TO step")
            self._result = error
        connection.execute("RELEASE step")

    def tell(self) -> None:
        """Wake who waits."""
        if isinstance(self._result, Exception):
            self.future.set_exception(self._result)
        else:
            self.future.set_result(self._result)  # type: ignore[arg-type]


async def _ended(future: Future[T]) -> T:
    """Await what a thread does; when cancelled, until it is over if it has begun."""
    waiter = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        if not future.cancel():
            await asyncio.wait([waiter])
        raise


def _make(path: Path) -> None:
    """Make an empty file where there is none: the log and its index will get its mode.

    One that is there must not be opened: to close it again would take from all connections of this process
    their locks (those of POSIX are a process's and not a descriptor's). Another process that closes it would
    think itself the last one, and remove the log from under them.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _check(connection: Connection, path: Path, schema: Schema) -> None:
    """Look at the file before anything in it is changed. Raises StartError."""
    version = _pragma(connection, "user_version")
    tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and _pragma(connection, "application_id") != schema.application_id:
        raise StartError(f"{path} is a database of another program: move it away")
    if version > len(schema.migrations):
        raise StartError(
            f"{path} was written by a newer whisperd (its version is {version}, this one knows "
            f"{len(schema.migrations)}): install that one again, or move the file away"
        )


def _set_up(connection: Connection, path: Path) -> None:
    if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        # What is deleted gives its room back at once; to be chosen before there are tables.
        connection.execute("PRAGMA auto_vacuum = FULL")
    if (mode := _pragma(connection, "journal_mode = WAL")) != "wal":
        raise StartError(f"{path} can't have a write-ahead log (but {mode}): put it on a local disk")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")


def _migrate(connection: Connection, schema: Schema) -> None:
    done = _pragma(connection, "user_version")
    for version, statements in enumerate(schema.migrations[done:], done + 1):
        with transaction(connection):
            if _pragma(connection, "user_version") >= version:
                continue  # another process was faster
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {schema.application_id}")
            connection.execute(f"PRAGMA user_version = {version}")


def _pragma(connection: Connection, pragma: str) -> Any:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def _why_not(path: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"can't open {path}: {error.strerror}"
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
        return (
            f"{path} is damaged ({error}). Stop whisperd and put it back from a copy, with the files beside "
            f"it whose names begin with its own; or rescue what can be read with "
            f"`sqlite3 {path} .recover`; or move them all away to begin anew"
        )
    return f"can't open {path}: {error}"
