"""What a key is made of, and what is kept of it."""

import hashlib

from keychain import HOUR, NOW
from msgspec.structs import replace

from whisperd.access.caller import PERMISSIONS
from whisperd.access.keys import Key, digest, new_text, well_formed

KEY = Key(id="1", name="n", owner="ann", permissions=("stt",), rate_limit=5, created_at=NOW)


def test_a_key_has_a_prefix_and_43_url_safe_characters() -> None:
    text = new_text()
    assert (text[:3], len(text)) == ("lx_", 46)
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert well_formed(text)


def test_no_two_keys_are_alike() -> None:
    assert len({new_text() for _ in range(100)}) == 100


def test_the_hash_is_that_of_the_salt_and_the_key_without_its_prefix() -> None:
    assert digest("lx_abc", "salt") == hashlib.sha256(b"saltabc").hexdigest()


def test_what_no_header_should_hold_can_be_hashed() -> None:
    assert len(digest("lx_\udcff", "salt")) == 64


def test_what_is_short_or_has_another_prefix_is_no_key() -> None:
    assert not well_formed("lx_" + "a" * 16)
    assert well_formed("lx_" + "a" * 17)
    assert not well_formed("sk-" + "a" * 43)


def test_a_key_is_valid_until_it_expires_or_is_revoked() -> None:
    assert KEY.valid(NOW)
    expiring = replace(KEY, expires_at=NOW + HOUR)
    assert expiring.valid(NOW)
    assert not expiring.valid(NOW + HOUR)
    assert not replace(KEY, revoked_at=NOW).valid(NOW)


def test_a_star_is_every_permission() -> None:
    assert KEY.caller().permissions == {"stt"}
    assert replace(KEY, permissions=("*",)).caller().permissions == set(PERMISSIONS)
    assert replace(KEY, permissions=("jobs", "*")).caller().permissions == set(PERMISSIONS)
    assert replace(KEY, permissions=()).caller().permissions == set()
