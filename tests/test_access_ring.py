"""The ring of keys, in its database."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keychain import HOUR, NOW

from whisperd.access import ring as module
from whisperd.access.keys import Key, digest
from whisperd.access.ring import Ring, UnknownKey, note_used
from whisperd.access.schema import database
from whisperd.errors import Unavailable


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    with contextlib.closing(Ring.open(tmp_path)) as ring:
        yield ring


def make(ring: Ring, **options: Any) -> tuple[Key, str]:
    defaults: dict[str, Any] = {
        "name": "notes",
        "owner": "ann",
        "permissions": ("stt", "jobs"),
        "rate_limit": 60,
        "at": NOW,
    }
    return ring.create(**(defaults | options))


def test_a_key_is_found_by_its_text(ring: Ring) -> None:
    key, text = make(ring, organization_id="acme", expires_at=NOW + HOUR)
    assert ring.find(text, at=NOW) == key
    assert key.organization_id == "acme"
    assert ring.keys() == [key]


def test_the_prefix_has_no_part_in_finding_but_has_to_be_there(ring: Ring) -> None:
    _, text = make(ring)
    assert ring.find(text.removeprefix("lx_"), at=NOW) is None


def test_the_text_is_nowhere_in_the_database(ring: Ring, tmp_path: Path) -> None:
    _, text = make(ring)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "access").iterdir())
    assert text.removeprefix("lx_").encode() not in kept
    assert ring.find(text, at=NOW)


def test_what_another_process_makes_or_revokes_counts_at_once(ring: Ring, tmp_path: Path) -> None:
    assert not ring.has_keys()
    with contextlib.closing(Ring.open(tmp_path)) as other:
        key, text = make(other)
        assert ring.has_keys()
        assert ring.find(text, at=NOW) == key
        other.revoke(key.id, at=NOW)
        assert ring.find(text, at=NOW) is None
        assert ring.has_keys()


def test_a_key_that_expired_is_not_found(ring: Ring) -> None:
    _, text = make(ring, expires_at=NOW + HOUR)
    assert ring.find(text, at=NOW)
    assert ring.find(text, at=NOW + HOUR) is None


def test_wrong_keys_cause_the_same_work_as_right_ones(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    _, right = make(ring)
    revoked_key, revoked = make(ring)
    ring.revoke(revoked_key.id, at=NOW)
    _, expired = make(ring, expires_at=NOW)
    seen: list[str] = []
    hashed: list[str] = []

    def noted(text: str, salt: str) -> str:
        hashed.append(text)
        return digest(text, salt)

    monkeypatch.setattr(module, "digest", noted)
    ring._connection.set_trace_callback(lambda sql: seen.append(sql.partition("'")[0]))
    works = []
    for text in (right, revoked, expired, "lx_" + "x" * 43, "sk-none", ""):
        seen.clear()
        hashed.clear()
        found = ring.find(text, at=NOW)
        assert (found is not None) == (text == right)
        works.append(list(seen))
        assert hashed == [text]
    assert len(works[0]) == 2
    assert all(work == works[0] for work in works)


def test_a_key_from_elsewhere_is_found_with_its_own_salt(ring: Ring) -> None:
    _, ours = make(ring)
    theirs = "lx_" + "t" * 43
    key = Key(id="11-22", name="old", owner="bob", permissions=("*",), rate_limit=9, created_at=NOW)
    hashed = hashlib.sha256(("their salt" + "t" * 43).encode()).hexdigest()
    assert ring.take(key, hashed, "their salt")
    assert not ring.take(key, hashed, "their salt")
    assert ring.find(theirs, at=NOW) == key
    assert ring.find(ours, at=NOW)
    _, later = make(ring)
    assert ring.find(later, at=NOW)


def test_imported_keys_leave_new_ones_a_salt_of_their_own(ring: Ring) -> None:
    key = Key(id="1", name="old", owner="bob", permissions=(), rate_limit=9, created_at=NOW)
    ring.take(key, "0" * 64, "their salt")
    _, text = make(ring)
    assert ring.find(text, at=NOW)
    assert ring._connection.execute("SELECT count(*) FROM salts").fetchone() == (2,)


def test_revoking_twice_keeps_the_first_time(ring: Ring) -> None:
    key, _ = make(ring)
    ring.revoke(key.id, at=NOW)
    assert ring.revoke(key.id, at=NOW + HOUR).revoked_at == NOW


def test_a_rotated_key_goes_on_for_a_while(ring: Ring) -> None:
    old, old_text = make(ring, organization_id="acme", expires_at=NOW + 24 * HOUR)
    new, new_text = ring.rotate(old.id, at=NOW, grace=HOUR)
    assert new.id != old.id
    assert (new.name, new.owner, new.organization_id) == (old.name, old.owner, old.organization_id)
    assert (new.permissions, new.rate_limit, new.expires_at) == (old.permissions, 60, old.expires_at)
    assert ring.find(old_text, at=NOW)
    assert ring.find(old_text, at=NOW + HOUR) is None
    assert ring.find(new_text, at=NOW + HOUR)


def test_grace_lengthens_no_key(ring: Ring) -> None:
    old, _ = make(ring, expires_at=NOW + HOUR)
    ring.rotate(old.id, at=NOW, grace=24 * HOUR)
    assert ring.key(old.id).expires_at == NOW + HOUR


def test_a_key_that_opens_nothing_is_not_rotated(ring: Ring) -> None:
    key, _ = make(ring)
    ring.revoke(key.id, at=NOW)
    with pytest.raises(UnknownKey, match="revoked"):
        ring.rotate(key.id, at=NOW, grace=HOUR)
    assert len(ring.keys()) == 1


def test_an_id_that_there_is_not(ring: Ring) -> None:
    with pytest.raises(UnknownKey, match="no key 'nope'"):
        ring.revoke("nope", at=NOW)
    with pytest.raises(UnknownKey, match="no key 'nope'"):
        ring.rotate("nope", at=NOW, grace=HOUR)


def test_the_last_use_is_noted(ring: Ring) -> None:
    key, _ = make(ring)
    note_used(ring._connection, {key.id: NOW, "gone": NOW})
    assert ring.key(key.id).last_used_at == NOW


def test_a_database_that_fails_is_told_without_its_path(
    ring: Ring, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring._connection.execute("DROP TABLE salts")
    with pytest.raises(Unavailable) as raised:
        ring.find("lx_" + "x" * 43, at=NOW)
    assert str(tmp_path) not in raised.value.message
    assert "salts" not in raised.value.message
    assert "no such table: salts" in caplog.text


def test_the_database_is_for_its_owner_alone(ring: Ring, tmp_path: Path) -> None:
    make(ring)
    path = database(tmp_path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
