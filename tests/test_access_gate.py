"""Who is let in: keys, networks, and the static key."""

import contextlib
import datetime
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from conftest import changed, until
from keychain import HOUR, NOW, make_key, revoke_key

from whisperd.access.caller import PERMISSIONS, Caller
from whisperd.access.gate import Gate, authorize, key_in
from whisperd.access.ring import Ring
from whisperd.access.usage import Use
from whisperd.config.live import Live
from whisperd.config.units import Duration
from whisperd.errors import Forbidden, InvalidKey, StartError, Unauthorized

LAN = ["192.168.1.20"]
INTERNET = ["8.8.8.8"]
UNKNOWN = "lx_" + "x" * 43


def set_access(live: Live, **options: Any) -> None:
    live.current = changed(live.current, "access", **options)


def static_key(live: Live, tmp_path: Path, text: str = "reflector's\n") -> None:
    path = tmp_path / "static"
    path.write_text(text, encoding="utf-8")
    set_access(live, static_key_file=path)


@pytest.fixture
async def gate(live: Live) -> AsyncIterator[Gate]:
    gate = Gate(live)
    async with gate.tended():
        yield gate


# ---- while there is no key -----------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "Bearer sk-none", "Bearer " + UNKNOWN, "Basic eDp5", "", "Bearer"])
def test_the_lan_is_served_whatever_it_sends(gate: Gate, header: str | None) -> None:
    assert gate.admit(header, LAN) == Caller()
    assert gate.admit(header, ["127.0.0.1"]) == Caller()
    assert gate.admit(header, [""]) == Caller()


@pytest.mark.parametrize("header", [None, "Bearer sk-none", "Bearer " + UNKNOWN])
def test_every_other_address_is_refused(gate: Gate, header: str | None) -> None:
    with pytest.raises(Forbidden, match="whisperd keys create"):
        gate.admit(header, INTERNET)
    with pytest.raises(Forbidden):
        gate.admit(header, [None])
    with pytest.raises(Forbidden):
        gate.admit(header, [*LAN, *INTERNET])


def test_a_trusted_network_is_served(gate: Gate, live: Live) -> None:
    set_access(live, trusted_networks=("8.8.8.0/24",))
    assert gate.admit(None, INTERNET) == Caller()
    assert gate.admit(None, LAN) == Caller()


# ---- once there is one ---------------------------------------------------------------------------


def test_a_key_that_is_made_closes_the_gate_at_once(gate: Gate, live: Live) -> None:
    assert not gate.requires_key
    key, text = make_key(live.current, permissions=("stt",), rate_limit=7, organization_id="acme")
    assert gate.requires_key
    with pytest.raises(Unauthorized, match=r"^Missing Authorization header$"):
        gate.admit(None, LAN)
    expected = Caller(
        owner="ann", organization_id="acme", key_id=key.id, permissions=frozenset({"stt"}), rate_limit=7
    )
    for header in (f"Bearer {text}", f"bearer {text}", f"BEARER   {text}", text):
        assert gate.admit(header, INTERNET) == expected


def test_a_key_that_was_revoked_opens_nothing_and_leaves_the_gate_closed(gate: Gate, live: Live) -> None:
    key, text = make_key(live.current)
    assert gate.admit(text, LAN).key_id == key.id
    revoke_key(live.current, key)
    with pytest.raises(InvalidKey):
        gate.admit(text, LAN)


def test_every_wrong_key_is_told_in_the_same_words(gate: Gate, live: Live) -> None:
    _, valid = make_key(live.current)
    revoked, revoked_text = make_key(live.current)
    revoke_key(live.current, revoked)
    _, expired = make_key(live.current, expires_at=NOW - 365 * 24 * HOUR)
    said = set()
    for text in (
        revoked_text,
        expired,
        UNKNOWN,
        "lx_",
        "sk-none",
        valid[3:],
        valid + "x",
        valid.upper(),
        "\udcff",
    ):
        with pytest.raises(InvalidKey) as raised:
            gate.admit(f"Bearer {text}", LAN)
        said.add(raised.value.message)
    assert said == {"Invalid or expired API key"}


@pytest.mark.parametrize("header", ["Basic eDp5", "Bearer", "Bearer ", "", "  ", "Bearer a b", "Token x"])
def test_another_form_of_header_is_none(gate: Gate, live: Live, header: str) -> None:
    make_key(live.current)
    with pytest.raises(Unauthorized, match=r"^Invalid Authorization header format$") as raised:
        gate.admit(header, LAN)
    assert type(raised.value) is Unauthorized


def test_a_key_expires_while_the_daemon_runs(live: Live) -> None:
    now = NOW
    _, text = make_key(live.current, expires_at=NOW + HOUR)
    gate = Gate(live, now=lambda: now)
    with contextlib.closing(Ring.open(live.current.paths.state)) as gate._ring:
        assert gate.admit(text, LAN).owner == "ann"
        now += HOUR
        with pytest.raises(InvalidKey):
            gate.admit(text, LAN)


def test_a_trusted_network_needs_no_key_but_may_send_one(gate: Gate, live: Live) -> None:
    key, text = make_key(live.current)
    set_access(live, trusted_networks=("192.168.1.0/24",))
    assert gate.admit(None, LAN) == Caller()
    assert gate.admit("Bearer sk-none", LAN) == Caller()
    assert gate.admit(text, LAN).key_id == key.id
    with pytest.raises(Unauthorized):
        gate.admit(None, ["192.168.2.1"])
    with pytest.raises(Unauthorized):
        gate.admit(None, [*LAN, "192.168.2.1"])


def test_always_needs_a_key_before_there_is_one(gate: Gate, live: Live) -> None:
    set_access(live, require_key="always")
    assert gate.requires_key
    with pytest.raises(Unauthorized):
        gate.admit(None, ["127.0.0.1"])
    with pytest.raises(InvalidKey):
        gate.admit("Bearer sk-none", ["127.0.0.1"])


def test_never_serves_the_internet_and_knows_keys_all_the_same(gate: Gate, live: Live) -> None:
    key, text = make_key(live.current)
    set_access(live, require_key="never")
    assert not gate.requires_key
    assert gate.admit("Bearer sk-none", INTERNET) == Caller()
    assert gate.admit(text, INTERNET).key_id == key.id


# ---- the static key ------------------------------------------------------------------------------


async def test_a_static_key_is_one_of_any_form(live: Live, tmp_path: Path) -> None:
    static_key(live, tmp_path)
    async with (gate := Gate(live)).tended():
        caller = gate.admit("Bearer reflector's", INTERNET)
        assert (caller.owner, caller.rate_limit) == ("static", None)
        assert caller.permissions == set(PERMISSIONS) - {"admin"}
        assert gate.requires_key
        with pytest.raises(Unauthorized):
            gate.admit(None, LAN)
        with pytest.raises(InvalidKey):
            gate.admit("Bearer reflector'", LAN)
        assert gate.spend(caller) is None
        key, text = make_key(live.current)
        assert gate.admit(text, INTERNET).key_id == key.id


@pytest.mark.parametrize("text", ["", "\nkey\n", " \n"])
async def test_an_empty_file_is_no_static_key(live: Live, tmp_path: Path, text: str) -> None:
    static_key(live, tmp_path, text)
    with pytest.raises(StartError, match="static_key_file"):
        async with Gate(live).tended():
            pass


async def test_a_file_that_is_not_there_is_named(live: Live, tmp_path: Path) -> None:
    set_access(live, static_key_file=tmp_path / "none")
    with pytest.raises(StartError, match=r"none .*No such file"):
        async with Gate(live).tended():
            pass


# ---- permissions and limits ----------------------------------------------------------------------


def test_a_permission_is_needed_where_one_is_named() -> None:
    caller = Caller(permissions=frozenset({"stt"}))
    authorize(caller, "stt")
    authorize(caller, None)
    with pytest.raises(Forbidden, match="'jobs'"):
        authorize(caller, "jobs")


def test_a_keys_requests_are_counted_with_the_burst_of_the_moment(gate: Gate, live: Live) -> None:
    set_access(live, burst=1)
    caller = Caller(key_id="k", rate_limit=2)
    spent = [gate.spend(caller) for _ in range(4)]
    assert [quota and quota.granted for quota in spent] == [True, True, True, False]
    set_access(live, burst=3)
    quota = gate.spend(caller)
    assert quota
    assert quota.granted
    assert gate.spend(Caller()) is None


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("", None),
        ("k", "k"),
        ("Bearer k", "k"),
        ("bEARER k", "k"),
        ("bearer", None),
        ("Basic k", None),
    ],
)
def test_a_key_is_behind_its_scheme_or_alone(header: str | None, key: str | None) -> None:
    assert key_in(header) == key


# ---- what it writes ------------------------------------------------------------------------------


async def test_uses_are_in_the_database_after_the_end(live: Live) -> None:
    key, text = make_key(live.current)
    began = datetime.datetime.now(datetime.UTC)
    async with (gate := Gate(live)).tended():
        gate.admit(text, LAN)
        gate.usage.record(
            Use(at=began, owner="ann", key_id=key.id, endpoint="/x", method="GET", status=200, latency_s=0.5)
        )
    with contextlib.closing(Ring.open(live.current.paths.state)) as ring:
        used = ring.key(key.id).last_used_at
        assert used
        assert used >= began
        assert ring._connection.execute("SELECT endpoint FROM usage").fetchall() == [("/x",)]


async def test_uses_are_written_while_it_runs(live: Live) -> None:
    async with (gate := Gate(live)).tended():
        with contextlib.closing(Ring.open(live.current.paths.state)) as ring:
            gate.usage.record(
                Use(at=NOW, owner="ann", key_id=None, endpoint="/x", method="GET", status=200, latency_s=0.5)
            )
            count = "SELECT count(*) FROM usage"
            await until(lambda: ring._connection.execute(count).fetchone() == (1,))


async def test_old_rows_are_folded_at_the_start(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    set_access(live, keep_usage=Duration("1d"))
    old = Use(at=NOW, owner="ann", key_id=None, endpoint="/x", method="GET", status=200, latency_s=0.5)
    async with (gate := Gate(live, now=lambda: NOW)).tended():
        gate.usage.record(old)
    async with Gate(live, now=lambda: NOW + 48 * HOUR).tended():
        await until(lambda: "made sums of 1 rows" in caplog.text)
    with contextlib.closing(Ring.open(live.current.paths.state)) as ring:
        assert ring._connection.execute("SELECT count(*) FROM usage").fetchone() == (0,)
        assert ring._connection.execute("SELECT day, requests FROM usage_days").fetchall() == [
            ("2026-11-21", 1)
        ]
