"""Where a request comes from: what trusted proxies say counts, and nobody else's word gains anything."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web as aiohttp_web
from aiohttp.test_utils import make_mocked_request
from conftest import changed
from fake_service import Web, form, serving
from yarl import URL

from whisperd.config.live import Live
from whisperd.errors import RequestError
from whisperd.web.forwarded import Origin, origin

PEER = "127.0.0.1"
PROXIES = ("127.0.0.1/32", "10.0.0.0/8")
"""The next hop, and those behind it."""


def told(headers: list[tuple[str, str]], proxies: tuple[str, ...] = PROXIES, peer: str = PEER) -> Origin:
    request = make_mocked_request("GET", "/", [("Host", "inside:8000"), *headers])
    return origin(request.clone(remote=peer), proxies)


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ([], PEER),
        ([("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
        ([("X-Forwarded-For", "192.168.1.5, 203.0.113.9")], "203.0.113.9"),
        ([("X-Forwarded-For", "192.168.1.5, 203.0.113.9, 10.1.1.1")], "203.0.113.9"),
        ([("X-Forwarded-For", "192.168.1.5"), ("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
        ([("X-Forwarded-For", "10.2.2.2, 10.1.1.1")], "10.2.2.2"),
        ([("X-Forwarded-For", "[2001:db8::1]:4711")], "2001:db8::1"),
        ([("X-Forwarded-For", "203.0.113.9:4711")], "203.0.113.9"),
        ([("X-Forwarded-For", "192.168.1.5, nonsense")], "nonsense"),
        ([("X-Forwarded-For", "")], None),
        (
            [("Forwarded", 'for=192.168.1.5, for="[2001:db8::1]:4711";proto=https, for=10.1.1.1')],
            "2001:db8::1",
        ),
        ([("Forwarded", "for=192.168.1.5, for=unknown")], "unknown"),
        ([("Forwarded", "for=192.168.1.5, proto=https")], None),
        ([("Forwarded", "for=203.0.113.9"), ("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
        ([("Forwarded", 'for="[2001:DB8::1]"'), ("X-Forwarded-For", "2001:db8:0::1")], "2001:db8:0::1"),
    ],
)
def test_the_rightmost_address_that_is_no_proxys_is_the_clients(
    headers: list[tuple[str, str]], client: str | None
) -> None:
    assert told(headers).client == client


@pytest.mark.parametrize(
    ("headers", "scheme", "host"),
    [
        ([], "http", "inside:8000"),
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "speech.example")], "https", "speech.example"),
        (
            [("X-Forwarded-For", "9.9.9.9, 10.1.1.1"), ("X-Forwarded-Proto", "https, http")],
            "https",
            "inside:8000",
        ),
        (
            [("X-Forwarded-For", "1.1.1.1, 9.9.9.9"), ("X-Forwarded-Proto", "https, http")],
            "http",
            "inside:8000",
        ),
        (
            [("X-Forwarded-For", "1.1.1.1, 9.9.9.9"), ("X-Forwarded-Host", "speech.example:8443")],
            "http",
            "speech.example:8443",
        ),
        (
            [("Forwarded", "for=9.9.9.9;proto=HTTPS;host=speech.example, for=10.1.1.1;proto=http")],
            "https",
            "speech.example",
        ),
        ([("X-Forwarded-Proto", "javascript"), ("X-Forwarded-Host", 'x"/><script>')], "http", "inside:8000"),
    ],
)
def test_scheme_and_host_are_those_that_the_client_used(
    headers: list[tuple[str, str]], scheme: str, host: str
) -> None:
    assert (told(headers).scheme, told(headers).host) == (scheme, host)


@pytest.mark.parametrize(("proxies", "peer"), [((), PEER), (("10.0.0.0/8",), PEER), (PROXIES, "")])
def test_from_anybody_else_such_headers_say_nothing_but_what_closes_the_gate(
    proxies: tuple[str, ...], peer: str
) -> None:
    headers = [
        ("X-Forwarded-For", "192.168.1.5"),
        ("Forwarded", "for=203.0.113.9;proto=https;host=evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
    ]
    found = told(headers, proxies, peer)
    assert found == Origin(peer, "http", "inside:8000", ("192.168.1.5", "203.0.113.9"))


def test_a_unix_sockets_peer_is_a_proxy_only_where_that_is_configured() -> None:
    headers = [("X-Forwarded-For", "203.0.113.9")]
    assert told(headers, ("unix",), "").client == "203.0.113.9"
    assert told(headers, ("127.0.0.0/8", "0.0.0.0/0"), "").client == ""
    assert told(headers, ("unix",), PEER).client == PEER


def test_two_headers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(RequestError, match="different clients"):
        told([("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=127.0.0.1")])


# ---- what comes of it ----------------------------------------------------------------------------


@pytest.fixture
async def behind(live: Live) -> AsyncIterator[Web]:
    """A server behind a proxy on this machine."""
    live.current = changed(live.current, "server", trusted_proxies=("127.0.0.1/32",))
    async with serving(live) as web:
        yield web


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Forwarded-For": "192.168.1.5"}, 200),
        ({"X-Forwarded-For": "8.8.8.8, 192.168.1.5"}, 200),
        ({"X-Forwarded-For": "192.168.1.5, 8.8.8.8"}, 403),
        ({"X-Forwarded-For": "192.168.1.5", "X-Real-IP": "8.8.8.8"}, 403),
        ({"X-Real-IP": "8.8.8.8"}, 403),
        ({"Forwarded": "for=unknown"}, 403),
        ({"X-Forwarded-For": "8.8.8.8", "Forwarded": "for=192.168.1.5"}, 400),
    ],
)
async def test_private_networks_are_those_of_the_clients_and_not_of_the_proxy(
    behind: Web, headers: dict[str, str], status: int
) -> None:
    assert (await behind.client.get("/v1/models", headers=headers)).status == status


async def test_trusted_networks_are_those_of_the_clients(behind: Web) -> None:
    behind.live.current = changed(
        behind.live.current, "access", require_key="always", trusted_networks=("203.0.113.0/24",)
    )
    for client, status in (("203.0.113.9", 200), ("203.0.113.9, 192.168.1.5", 401)):
        headers = {"X-Forwarded-For": client}
        assert (await behind.client.get("/v1/models", headers=headers)).status == status


async def test_links_lead_where_the_client_came_from(behind: Web) -> None:
    headers = {
        "X-Forwarded-For": "192.168.1.5",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "speech.example",
    }
    response = await behind.client.post("/transcribe", data=form("audio"), headers=headers)
    link = URL((await response.json())["downloads"]["srt"])
    assert (link.scheme, link.host) == ("https", "speech.example")
    assert (await behind.client.get(link.path, headers=headers)).status == 200
    assert (await behind.client.get(link.path, headers={"X-Forwarded-For": "192.168.1.6"})).status == 404


async def test_links_are_as_seen_where_nobody_is_trusted(live: Live) -> None:
    async with serving(live) as web:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "speech.example"}
        response = await web.client.post("/transcribe", data=form("audio"), headers=headers)
        link = URL((await response.json())["downloads"]["srt"])
        assert (link.scheme, link.host) == ("http", "127.0.0.1")


async def test_the_journal_has_the_client_and_not_the_proxy(
    behind: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "whisperd")
    await behind.client.get("/v1/models", headers={"X-Forwarded-For": "192.168.1.5"})
    [record] = [record for record in caplog.records if "/v1/models" in record.getMessage()]
    assert record.__dict__["journal_fields"]["client"] == "192.168.1.5"


async def test_over_a_unix_socket_a_configured_proxy_speaks_for_its_clients(
    live: Live, tmp_path: Path
) -> None:
    async with serving(live) as web:
        runner = aiohttp_web.AppRunner(web.client.app)
        await runner.setup()
        try:
            await aiohttp_web.UnixSite(runner, tmp_path / "socket").start()
            connector = aiohttp.UnixConnector(str(tmp_path / "socket"))
            async with aiohttp.ClientSession(connector=connector) as session:
                for client, status in (("192.168.1.5", 200), ("8.8.8.8", 403)):
                    headers = {"X-Forwarded-For": client, "X-Forwarded-Proto": "https"}
                    for proxies in ((), ("unix",)):
                        live.current = changed(live.current, "server", trusted_proxies=proxies)
                        async with session.get("http://x/v1/models", headers=headers) as response:
                            assert response.status == status
                        async with session.post(
                            "http://speech.example/transcribe", data=form("audio"), headers=headers
                        ) as response:
                            if response.status == 200:
                                link = URL((await response.json())["downloads"]["text"])
                                assert link.scheme == ("https" if proxies else "http")
        finally:
            await runner.cleanup()
