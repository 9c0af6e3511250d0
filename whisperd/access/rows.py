"""Keys from elsewhere: rows of Lexia's table `api_keys`, as JSON lines, one JSON array, or CSV."""

import csv
import datetime
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from whisperd.access.keys import GRANTS, Grant, Key
from whisperd.errors import WhisperdError

_HASH: Final = re.compile("[0-9a-f]{64}")
_DEFAULT_RATE: Final = 60
_TRUE: Final = ("true", "t", "1", "yes")
_FALSE: Final = ("", "false", "f", "0", "no")

Row = Mapping[str, Any]


def read_rows(text: str) -> list[Row]:
    """The rows of an export, by what it looks like. Raises WhisperdError for what is none."""
    found: list[Any]
    match text.lstrip("\ufeff \t\r\n")[:1]:
        case "[":
            found = _decoded(text)
        case "{":
            found = [_decoded(line) for line in text.splitlines() if line.strip()]
        case _:
            found = list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))
    if not all(isinstance(row, dict) for row in found):
        raise WhisperdError("every row has to be an object with the columns of api_keys")
    return found


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text.lstrip("\ufeff"))
    except msgspec.DecodeError as error:
        raise WhisperdError(f"what looks like JSON is none: {error}") from error


def key_of(row: Row, *, at: datetime.datetime) -> tuple[Key, str]:
    """The key of a row, and its hash. Raises ValueError with the reason for a row that makes none."""
    hashed = _text(row, "key_hash").lower()
    if not _HASH.fullmatch(hashed):
        raise ValueError("key_hash is no SHA-256 in hexadecimal")
    revoked = _text(row, "is_revoked").lower()
    if revoked not in (*_TRUE, *_FALSE):
        raise ValueError(f"is_revoked is {revoked!r}")
    if revoked in _TRUE:
        raise ValueError("it was revoked")
    key = Key(
        id=_needed(row, "id"),
        name=_text(row, "name") or "imported",
        owner=_needed(row, "user_id"),
        organization_id=_text(row, "organization_id") or None,
        permissions=tuple(_grants(row)),
        rate_limit=_rate(row),
        created_at=_time(row, "created_at") or at,
        expires_at=_time(row, "expires_at"),
        last_used_at=_time(row, "last_used_at"),
    )
    if not key.valid(at):
        raise ValueError("it has expired")
    return key, hashed


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _needed(row: Row, column: str) -> str:
    if not (text := _text(row, column)):
        raise ValueError(f"{column} is missing")
    return text


def _rate(row: Row) -> int:
    text = _text(row, "rate_limit")
    if text and not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ValueError(f"rate_limit is {text!r}")
    return int(text) if text else _DEFAULT_RATE


def _grants(row: Row) -> Iterator[Grant]:
    value = row.get("permissions")
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise ValueError("permissions is no JSON") from None
    if not isinstance(value, list | None):
        raise ValueError("permissions is no list")  # noqa: TRY004 - a value of the export's, not a type of ours
    for name in value or ():
        if name not in GRANTS:
            raise ValueError(f"there is no permission {name!r}")
        yield name


def _time(row: Row, column: str) -> datetime.datetime | None:
    """A time without a zone is in UTC."""
    if not (text := _text(row, column)):
        return None
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{column} is no time: {text!r}") from None
    return time.astimezone(datetime.UTC) if time.tzinfo else time.replace(tzinfo=datetime.UTC)
