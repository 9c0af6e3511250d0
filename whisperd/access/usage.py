"""What each caller used: a row for each request, and sums for each day of what is older.

Days are those of UTC.
"""

import datetime
import logging
import sqlite3
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from whisperd.errors import WhisperdError
from whisperd.sqlite import Database

logger = logging.getLogger(__name__)

_MAX_WAITING: Final = 10_000
"""Rows that wait while they can't be written; beyond it the oldest are lost."""


class Use(Struct, frozen=True, kw_only=True):
    """One request that was answered, or one job that ended."""

    at: datetime.datetime
    owner: str
    key_id: str | None
    endpoint: str
    """The path as it is described, `/v1/models/{id}`; of a job its type."""
    method: str
    """HTTP's; `JOB` of a job."""
    status: int
    """HTTP's; of a job 200, or that of its error."""
    latency_s: float
    """From its coming to its end."""
    audio_s: float = 0.0
    wall_s: float = 0.0
    """What the recordings took, without waiting for their turn."""
    device_s: float = 0.0
    """Of that, what the models took; those of text and of speakers may work at the same time."""
    tokens_in: int = 0
    tokens_out: int = 0


class Usage:
    """Notes what was used; whoever holds it has it written now and then."""

    def __init__(self) -> None:
        self._waiting: deque[Use] = deque()
        self._lost = 0

    def record(self, use: Use) -> None:
        """Note a row; it is written soon. Never waits."""
        self._waiting.append(use)
        if len(self._waiting) > _MAX_WAITING:
            self._waiting.popleft()
            self._lost += 1

    async def write(self, database: Database) -> None:
        """Write what was noted. What can't be written now is kept for the next time."""
        if not self._waiting:
            return
        uses = list(self._waiting)
        self._waiting.clear()
        try:
            await database.write(lambda connection: _insert(connection, uses))
        except WhisperdError as error:
            logger.warning("%d rows of usage wait to be written: %s", len(uses), error)
            self._waiting.extendleft(reversed(uses))
        else:
            if self._lost:
                logger.error("%d rows of usage are lost: they could not be written for too long", self._lost)
                self._lost = 0


def _insert(connection: sqlite3.Connection, uses: list[Use]) -> None:
    marks = ", ".join(f":{name}" for name in Use.__struct_fields__)
    columns = ", ".join(Use.__struct_fields__)
    connection.executemany(
        f"INSERT INTO usage ({columns}) VALUES ({marks})",  # noqa: S608 - names of our own
        [
            dict(zip(Use.__struct_fields__, astuple(use), strict=True))
            | {"at": use.at.timestamp(), "key_id": use.key_id or ""}
            for use in uses
        ],
    )


# ---- sums ----------------------------------------------------------------------------------------

_SUMMED: Final[Mapping[str, str]] = {
    "requests": "sum(method <> 'JOB')",
    "jobs": "sum(method = 'JOB')",
    "failed": "sum(status >= 400)",
    "latency_s": "coalesce(sum(latency_s) FILTER (WHERE method <> 'JOB'), 0.0)",
    "audio_s": "sum(audio_s)",
    "wall_s": "sum(wall_s)",
    "device_s": "sum(device_s)",
    "tokens_in": "sum(tokens_in)",
    "tokens_out": "sum(tokens_out)",
}
"""The columns of a day, in their order, and how they are made of rows."""
_SUMS: Final = ", ".join(f"{how} AS {name}" for name, how in _SUMMED.items())
_DAYS: Final = f"SELECT date(at, 'unixepoch') AS day, owner, key_id, {_SUMS} FROM usage"  # noqa: S608


def fold(connection: sqlite3.Connection, before: datetime.datetime) -> int:
    """Make sums of the rows of days that had ended before; returns how many rows. For `Database.write`."""
    midnight = before.astimezone(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMMED)
    connection.execute(
        f"INSERT INTO usage_days {_DAYS} WHERE at < ? GROUP BY 1, 2, 3 ON CONFLICT DO UPDATE SET {added}",
        (midnight,),
    )
    return connection.execute("DELETE FROM usage WHERE at < ?", (midnight,)).rowcount


Group = Literal["day", "owner", "key"]


class Total(Struct, frozen=True, kw_only=True):
    """What was used by one group of requests."""

    day: datetime.date | None = None
    owner: str | None = None
    key: str | None = None
    """The key's id, empty where there was none."""
    name: str | None = None
    """The key's."""
    requests: int
    jobs: int
    """That ended."""
    failed: int
    """Of both, those whose status was 400 or above."""
    audio_s: float
    wall_s: float
    device_s: float
    tokens_in: int
    tokens_out: int
    latency_s: float
    """Mean of the requests."""


def totals(
    connection: sqlite3.Connection,
    by: tuple[Group, ...],
    *,
    since: datetime.date | None = None,
    until: datetime.date | None = None,
) -> list[Total]:
    """Sums by these groups, of the days from `since` to `until`, both of them included."""
    columns = ", ".join(_COLUMNS[group] for group in by)
    # Names of our own; the days come as parameters.
    rows = connection.execute(
        f"""SELECT {columns}, {", ".join(f"sum({name}) AS {name}" for name in _SUMMED)}
            FROM (
                {_DAYS} WHERE at >= :from AND at < :to GROUP BY 1, 2, 3
                UNION ALL
                SELECT * FROM usage_days WHERE unixepoch(day) >= :from AND unixepoch(day) < :to
            ) AS used LEFT JOIN keys ON keys.id = used.key_id
            GROUP BY {(groups := ", ".join(_GROUPS[group] for group in by))} ORDER BY {groups}""",  # noqa: S608
        {
            "from": _midnight(since) if since else _FIRST,
            "to": _midnight(until + datetime.timedelta(days=1)) if until else _LAST,
        },
    )
    names = [column[0] for column in rows.description]
    return [_total(dict(zip(names, row, strict=True))) for row in rows]


def _total(sums: dict[str, Any]) -> Total:
    mean_s = sums["latency_s"] / sums["requests"] if sums["requests"] else 0.0
    return msgspec.convert(sums | {"latency_s": mean_s}, Total)


_COLUMNS: Final[Mapping[Group, str]] = {
    "day": "used.day AS day",
    "owner": "used.owner AS owner",
    "key": "used.owner AS owner, used.key_id AS key, keys.name AS name",
}
_GROUPS: Final[Mapping[Group, str]] = {
    "day": "used.day",
    "owner": "used.owner",
    "key": "used.owner, used.key_id",
}
_FIRST: Final = -1e12
_LAST: Final = 1e12
"""Further away than any row."""


def _midnight(day: datetime.date) -> float:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()
