"""The ring: every key there is, found by what a caller sends.

Each look-up asks the database, so that a key which another process made or revoked counts at once; that takes
some ten microseconds. Whatever is sent is hashed and looked up in the same way, and only then refused.
"""

import contextlib
import datetime
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from whisperd.access.keys import Grant, Key, digest, new_id, new_salt, new_text, well_formed
from whisperd.access.schema import SCHEMA, database
from whisperd.errors import Unavailable, WhisperdError
from whisperd.sqlite import connect, transaction

logger = logging.getLogger(__name__)

_COLUMNS: Final = Key.__struct_fields__
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM keys"  # noqa: S608 - names of our own


class UnknownKey(WhisperdError):
    """No key has this id. For the command line."""

    code = "unknown_key"


class Ring:
    """The keys. What is written is on the disk when the method returns; Unavailable where it can't be."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, state: Path) -> Self:
        """The ring of a state directory, made where there is none. Raises StartError."""
        return cls(connect(database(state), SCHEMA))

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    # ---- looking ---------------------------------------------------------------------------------

    def find(self, text: str, *, at: datetime.datetime) -> Key | None:
        """The key that was sent, if it is one and opens anything now. Raises Unavailable."""
        try:
            salts = self._connection.execute("SELECT salt FROM salts").fetchall()
            hashes = [digest(text, salt) for (salt,) in salts]
            marks = ", ".join("?" * len(hashes))
            row = self._connection.execute(f"{_SELECT} WHERE hash IN ({marks})", hashes).fetchone()
        except sqlite3.Error as error:
            raise _told(error) from error
        key = _key(row) if row else None
        return key if key and well_formed(text) and key.valid(at) else None

    def has_keys(self) -> bool:
        """Whether a key was ever made, be it valid or not. Raises Unavailable."""
        try:
            return self._connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None
        except sqlite3.Error as error:
            raise _told(error) from error

    def keys(self) -> list[Key]:
        """Every key, the oldest first."""
        return [_key(row) for row in self._connection.execute(f"{_SELECT} ORDER BY created_at, id")]

    def key(self, key_id: str) -> Key:
        """Raises UnknownKey."""
        row = self._connection.execute(f"{_SELECT} WHERE id = ?", (key_id,)).fetchone()
        if row is None:
            raise UnknownKey(f"there is no key {key_id!r}; see `whisperd keys list`")
        return _key(row)

    # ---- changing --------------------------------------------------------------------------------

    def create(
        self,
        *,
        name: str,
        owner: str,
        permissions: Iterable[Grant],
        rate_limit: int,
        at: datetime.datetime,
        expires_at: datetime.datetime | None = None,
        organization_id: str | None = None,
    ) -> tuple[Key, str]:
        """Make a key; returns it and its text, which nobody can tell again."""
        with self._changing():
            return self._make(
                Key(
                    id=new_id(),
                    name=name,
                    owner=owner,
                    organization_id=organization_id,
                    permissions=tuple(permissions),
                    rate_limit=rate_limit,
                    created_at=at,
                    expires_at=expires_at,
                )
            )

    def revoke(self, key_id: str, *, at: datetime.datetime) -> Key:
        """From now on it opens nothing. Raises UnknownKey."""
        with self._changing():
            self.key(key_id)
            self._connection.execute(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (at.isoformat(), key_id)
            )
            return self.key(key_id)

    def rotate(self, key_id: str, *, at: datetime.datetime, grace: datetime.timedelta) -> tuple[Key, str]:
        """Make a key like this one, which goes on for `grace` and no longer. Raises UnknownKey."""
        with self._changing():
            old = self.key(key_id)
            if not old.valid(at):
                raise UnknownKey(f"key {key_id!r} was revoked, or has expired: make a new one")
            made = self._make(msgspec.structs.replace(old, id=new_id(), created_at=at, last_used_at=None))
            ends = at + grace if old.expires_at is None else min(at + grace, old.expires_at)
            self._connection.execute(
                "UPDATE keys SET expires_at = ? WHERE id = ?", (ends.isoformat(), key_id)
            )
            return made

    def take(self, key: Key, hashed: str, salt: str) -> bool:
        """Put in a key that was made elsewhere; False when it is here already, or its id is another's."""
        with self._changing():
            self._connection.execute("INSERT OR IGNORE INTO salts (salt, ours) VALUES (?, 0)", (salt,))
            taken = self._connection.execute(
                "SELECT 1 FROM keys WHERE hash = ? OR id = ?", (hashed, key.id)
            ).fetchone()
            if not taken:
                self._insert(key, hashed, salt)
            return not taken

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with transaction(self._connection):
                yield
        except sqlite3.Error as error:
            raise _told(error) from error

    def _make(self, key: Key) -> tuple[Key, str]:
        text, salt = new_text(), self._own_salt()
        self._insert(key, digest(text, salt), salt)
        return key, text

    def _own_salt(self) -> str:
        row = self._connection.execute("SELECT salt FROM salts WHERE ours").fetchone()
        if row is None:
            row = (new_salt(),)
            self._connection.execute("INSERT INTO salts (salt, ours) VALUES (?, 1)", row)
        return str(row[0])

    def _insert(self, key: Key, hashed: str, salt: str) -> None:
        values = msgspec.to_builtins(key) | {"permissions": " ".join(key.permissions)}
        self._connection.execute(
            f"INSERT INTO keys ({', '.join(_COLUMNS)}, hash, salt) "  # noqa: S608 - names of our own
            f"VALUES ({', '.join('?' * len(_COLUMNS))}, ?, (SELECT id FROM salts WHERE salt = ?))",
            (*(values[name] for name in _COLUMNS), hashed, salt),
        )


def note_used(connection: sqlite3.Connection, used: Mapping[str, datetime.datetime]) -> None:
    """When keys were last used, by their ids: a step for `Database.write`."""
    connection.executemany(
        "UPDATE keys SET last_used_at = ? WHERE id = ?",
        [(at.isoformat(), key_id) for key_id, at in used.items()],
    )


def _key(row: tuple[Any, ...]) -> Key:
    values = dict(zip(_COLUMNS, row, strict=True))
    return msgspec.convert(values | {"permissions": values["permissions"].split()}, Key)


def _told(error: sqlite3.Error) -> Unavailable:
    logger.error("keys can't be read or written: %s", error)
    return Unavailable("the server can't read or write its keys now", retry_after_s=30)
