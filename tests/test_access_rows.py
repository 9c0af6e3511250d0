"""Rows of Lexia's table of keys, as people export it."""

import csv
import datetime
import io
import json
from typing import Any

import pytest
from keychain import HOUR, NOW

from whisperd.access.rows import key_of, read_rows
from whisperd.errors import WhisperdError

ROW: dict[str, Any] = {
    "id": "0b9f8a0e-54f5-4a25-9f43-2a6b3f6b1c55",
    "key_hash": "ab" * 32,
    "name": "app",
    "user_id": "u1",
    "organization_id": None,
    "permissions": ["*"],
    "rate_limit": 60,
    "is_revoked": False,
    "expires_at": None,
    "last_used_at": "2026-01-19T10:00:00.123456Z",
    "created_at": "2026-01-19T09:00:00Z",
    "updated_at": "2026-01-19T09:00:00Z",
}


def as_csv(*rows: dict[str, Any]) -> str:
    """As PostgreSQL's COPY writes it."""
    file = io.StringIO()
    writer = csv.DictWriter(file, ROW)
    writer.writeheader()
    for row in rows:
        written = {
            "permissions": json.dumps(row["permissions"]),
            "is_revoked": "t" if row["is_revoked"] else "f",
            "created_at": "2026-01-19 09:00:00+00",
            "last_used_at": "2026-01-19 10:00:00.123456+00",
        }
        writer.writerow(row | written)
    return file.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([ROW]),
        json.dumps(ROW) + "\n\n",
        as_csv(ROW),
        "\ufeff" + as_csv(ROW),
        " \n" + json.dumps([ROW]),
    ],
    ids=["array", "lines", "csv", "csv-with-bom", "array-after-space"],
)
def test_every_form_of_export_is_read(text: str) -> None:
    [row] = read_rows(text)
    key, hashed = key_of(row, at=NOW)
    assert hashed == "ab" * 32
    assert (key.id, key.name, key.owner, key.organization_id) == (ROW["id"], "app", "u1", None)
    assert (key.permissions, key.rate_limit, key.expires_at) == (("*",), 60, None)
    assert key.created_at == datetime.datetime(2026, 1, 19, 9, tzinfo=datetime.UTC)
    assert key.last_used_at == datetime.datetime(2026, 1, 19, 10, 0, 0, 123456, datetime.UTC)


def test_several_rows_are_read_in_their_order() -> None:
    second = ROW | {"id": "2"}
    for text in (
        json.dumps([ROW, second]),
        f"{json.dumps(ROW)}\n{json.dumps(second)}\n",
        as_csv(ROW, second),
    ):
        assert [row["id"] for row in read_rows(text)] == [ROW["id"], "2"]


@pytest.mark.parametrize("text", ["[1]", "[[]]", "{", '[{"id": 1}', '{"id": 1} x'])
def test_what_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(WhisperdError):
        read_rows(text)


def test_an_empty_export_has_no_rows() -> None:
    assert read_rows("") == []
    assert read_rows("[]") == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_revoked": True}, "it was revoked"),
        ({"is_revoked": "t"}, "it was revoked"),
        ({"is_revoked": "perhaps"}, "is_revoked is 'perhaps'"),
        ({"expires_at": (NOW - HOUR).isoformat()}, "it has expired"),
        ({"expires_at": "2026-11-21 10:29:59"}, "it has expired"),
        ({"expires_at": "soon"}, "expires_at is no time: 'soon'"),
        ({"key_hash": "ab"}, "key_hash is no SHA-256 in hexadecimal"),
        ({"key_hash": None}, "key_hash is no SHA-256 in hexadecimal"),
        ({"user_id": None}, "user_id is missing"),
        ({"id": " "}, "id is missing"),
        ({"permissions": ["stt", "root"]}, "there is no permission 'root'"),
        ({"permissions": [["stt"]]}, r"there is no permission \['stt'\]"),
        ({"permissions": "{stt"}, "permissions is no JSON"),
        ({"permissions": 5}, "permissions is no list"),
        ({"rate_limit": 0}, "rate_limit is '0'"),
        ({"rate_limit": "many"}, "rate_limit is 'many'"),
    ],
)
def test_a_row_that_makes_no_key_has_a_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        key_of(ROW | change, at=NOW)


def test_what_is_left_out_has_lexias_default() -> None:
    key, _ = key_of({"id": "1", "key_hash": "AB" * 32, "user_id": "u"}, at=NOW)
    assert (key.name, key.permissions, key.rate_limit, key.created_at) == ("imported", (), 60, NOW)


def test_a_row_that_expires_later_keeps_its_time() -> None:
    key, _ = key_of(ROW | {"expires_at": "2027-01-31 00:00:00.5+01"}, at=NOW)
    assert key.expires_at == datetime.datetime(2027, 1, 30, 23, 0, 0, 500_000, datetime.UTC)
