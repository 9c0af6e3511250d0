"""Refusals at the door: what the long way told one request, those like it are told by their first bytes."""

import asyncio
import contextlib
import logging
import socket
import ssl
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from aiohttp.web import AppRunner
from certificates import Authority, server_context
from conftest import changed, until
from fake_service import RECORDING, Web, serving

from whisperd.config.live import Live
from whisperd.errors import QueueFull, RateLimited
from whisperd.web import door
from whisperd.web.connections import Connections, Site
from whisperd.web.keys import METRICS, TURNSTILE

CLIENTS = Path(__file__).parent / "clients"
OPENAI: Final = "/v1/audio/transcriptions"
BOUNDARY: Final = "0123456789abcdef"
FULL: Final = QueueFull("64 requests are waiting already; the limit is 64", retry_after_s=7)


@dataclass
class House:
    """The web layer behind the daemon's own kind of site."""

    web: Web
    site: Site
    port: int
    entered: list[bytes] = field(default_factory=list)
    """What had come of each connection that came past the door, or was not looked at."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Watched(Connections):
    """Tells which connections it is given."""

    entered: list[bytes]

    def add(self, accepted: socket.socket, came: bytes = b"", context: ssl.SSLContext | None = None) -> None:
        self.entered.append(came)
        super().add(accepted, came, context)


@dataclass(frozen=True)
class Told:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def lasting(self) -> tuple[int, dict[str, str], bytes]:
        """Without what is another time's or another request's."""
        passing = {"Date", "X-Request-Id"}
        return self.status, {k: v for k, v in self.headers.items() if k not in passing}, self.body


@contextlib.asynccontextmanager
async def house(live: Live, tls: ssl.SSLContext | None = None) -> AsyncIterator[House]:
    async with serving(live) as web:
        runner = web.client.server.runner
        assert isinstance(runner, AppRunner)
        assert runner.server
        connections = Watched(runner.server, live)
        listener = socket.create_server(("127.0.0.1", 0))
        site = Site(runner, connections, listener, tls, runner.app[TURNSTILE])
        there = House(web, site, listener.getsockname()[1])
        connections.entered = there.entered
        await site.start()
        web.service.full = FULL
        yield there


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: nobody here is slow who does not mean to be."""
    monkeypatch.setattr(door, "_PATIENCE_S", 60.0)


@pytest.fixture
async def home(live: Live) -> AsyncIterator[House]:
    async with house(live) as there:
        yield there


def part(disposition: str, value: bytes = b"base", boundary: str = BOUNDARY) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + value + b"\r\n"


def form(
    carrier: str = "file",
    boundary: str = BOUNDARY,
    size: int = 1000,
    fields: Mapping[str, str] = types.MappingProxyType({"model": "base"}),
) -> bytes:
    body = b"".join(part(f"name={name}", value.encode(), boundary) for name, value in fields.items())
    body += part(f'name="{carrier}"; filename="talk.wav"', RECORDING.ljust(size), boundary)
    return body + f"--{boundary}--\r\n".encode()


def head(path: str, size: int, *lines: str, boundary: str = BOUNDARY, version: str = "1.1") -> bytes:
    kind = f"Content-Type: multipart/form-data; boundary={boundary}"
    first = f"POST {path} HTTP/{version}"
    return "\r\n".join([first, "Host: x", kind, f"Content-Length: {size}", *lines, "", ""]).encode()


def request(path: str = OPENAI, *lines: str, carrier: str = "file", **fields: str) -> bytes:
    body = form(carrier, fields=fields or {"model": "base"})
    return head(path, len(body), *lines) + body


async def told(there: House, *pieces: bytes, by: str = "127.0.0.1", pause_s: float = 0.05) -> Told:
    """What the server answers to all of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port, local_addr=(by, 0))
    try:
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(pause_s)
            writer.write(piece)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = dict(line.split(": ", 1) for line in lines if line)
        body = await reader.readexactly(int(headers["Content-Length"]))
        return Told(int(first.split()[1]), headers, body)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def entered(there: House, *pieces: bytes, **how: object) -> int:
    """How many of the connections with these pieces came past the door."""
    before = len(there.entered)
    await told(there, *pieces, **how)  # type: ignore[arg-type]
    return len(there.entered) - before


# ---- the answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "carrier", "fields"),
    [
        (OPENAI, "file", {"model": "base"}),
        ("/v1/audio/translations", "file", {"model": "base"}),
        ("/v1/audio/diarization", "file", {"num_speakers": "2"}),
        ("/v1/transcriptions/sync", "audio", {"language": "en"}),
        ("/transcribe", "file", {"diarize": "true"}),
        ("/transcribe", "audio", {"model": "base"}),
        ("/transcribe?language=en", "audio", {"x": "y"}),
        ("/diarize", "audio", {"x": "y"}),
    ],
)
async def test_it_is_the_same_in_every_dialect(
    home: House, path: str, carrier: str, fields: dict[str, str]
) -> None:
    long = await told(home, request(path, carrier=carrier, **fields))
    assert home.entered == [b""]
    short = await told(home, request(path, carrier=carrier, **fields))
    assert home.entered == [b""]
    assert long.status == 503
    assert short.lasting == (503, {**long.lasting[1], "Connection": "close"}, long.body)
    assert short.headers["X-Request-Id"] != long.headers["X-Request-Id"]
    assert await told(home, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_it_has_what_is_true_now(home: House) -> None:
    await told(home, request())
    home.web.service.full = RateLimited("5 of your requests are not answered yet", retry_after_s=3)
    short = await told(home, request())
    assert len(home.entered) == 1
    assert (short.status, short.headers["Retry-After"]) == (429, "3")
    assert b"5 of your requests" in short.body


async def test_a_request_is_taken_as_soon_as_there_is_room(home: House) -> None:
    await told(home, request())
    home.web.service.full = None
    answer = await told(home, request())
    assert answer.status == 200
    assert home.web.service.recordings == [RECORDING.ljust(1000)]


async def test_each_is_told_of_in_the_journal_and_counted(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answers = [await told(home, request()) for _ in range(3)]
    assert len(home.entered) == 1
    lines = [each.journal_fields for each in caplog.records if hasattr(each, "journal_fields")]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert [line["request_id"] for line in lines] == ids
    assert len(set(ids)) == 3
    long, *short = ({**line, "request_id": 0, "wall_s": 0} for line in lines)
    assert short == [long, long]
    page, _ = home.web.client.app[METRICS].exposition("")
    assert b'outcome="failed",status="503"} 3.0' in page


async def test_an_id_of_the_clients_own_comes_back(home: House) -> None:
    asked = request(OPENAI, "X-Request-Id: mine")
    assert [(await told(home, asked)).headers["X-Request-Id"] for _ in range(2)] == ["mine", "mine"]
    assert len(home.entered) == 1


async def test_pages_of_other_sites_may_read_it_where_they_may(live: Live) -> None:
    live.current = changed(live.current, "api", cors_origins=("https://a.example",))
    async with house(live) as home:
        asked = request(OPENAI, "Origin: https://a.example")
        long, short = [await told(home, asked) for _ in range(2)]
        assert len(home.entered) == 1
    assert short.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert {**long.lasting[1], "Connection": "close"} == short.lasting[1]


# ---- who is like whom ----------------------------------------------------------------------------


async def test_the_boundary_the_length_and_the_recording_may_differ(home: House) -> None:
    await told(home, request())
    body = form(boundary="fedcba9876543210", size=2000)
    assert not await entered(home, head(OPENAI, len(body), boundary="fedcba9876543210") + body)


@pytest.mark.parametrize(
    "other",
    [
        request(OPENAI, model="tiny.en"),
        request(OPENAI, model="base", language="en"),
        request("/v1/audio/translations", model="base"),
        request(OPENAI, "User-Agent: another", model="base"),
    ],
)
async def test_who_asks_for_something_else_goes_the_long_way(home: House, other: bytes) -> None:
    await told(home, request())
    assert await entered(home, other)


async def test_another_client_goes_the_long_way(home: House) -> None:
    await told(home, request())
    assert await entered(home, request(), by="127.0.0.2")
    assert not await entered(home, request(), by="127.0.0.2")


@pytest.mark.parametrize(
    "asked",
    [
        request(OPENAI, "X-Forwarded-For: 10.0.0.1"),
        request(OPENAI, "Via: 1.1 proxy"),
        head(OPENAI, 0, version="1.0").replace(b"Length: 0", b"Length: %d" % len(form())) + form(),
    ],
)
async def test_of_whom_not_all_is_in_the_beginning_always_goes_the_long_way(
    home: House, asked: bytes
) -> None:
    for _ in range(2):
        assert await entered(home, asked)


async def test_who_waits_to_be_asked_for_the_body_goes_the_long_way(live: Live) -> None:
    live.current = changed(live.current, "api", dialects=("openai",))
    async with house(live) as home:
        for _ in range(2):
            assert await entered(home, head("/v1/audio/translations", 1000, "Expect: 100-continue"))


async def test_what_is_wrong_in_another_way_is_told_the_long_way(home: House) -> None:
    home.web.service.full = None
    for _ in range(2):
        assert (await told(home, request(temperature="hot"))).status == 400
    assert len(home.entered) == 2


async def test_over_tls_all_goes_the_long_way(live: Live, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with house(live, server_context(*authority.issue("server"))) as home:
        trusting = ssl.create_default_context(cafile=str(authority.certificate))
        for _ in range(2):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", home.port, ssl=trusting, server_hostname="localhost"
            )
            writer.write(request())
            assert b" 503 " in await reader.readline()
            writer.close()
        assert len(home.entered) == 2


# ---- what comes, and how -------------------------------------------------------------------------


async def test_the_beginning_may_come_in_pieces(home: House) -> None:
    asked = request()
    at = asked.index(b"\r\n\r\n") + 4
    await told(home, asked[:at], asked[at:])
    assert not await entered(home, asked[:20], asked[20:at], asked[at:], pause_s=0.03)


async def test_where_one_dialect_is_spoken_the_head_is_enough(live: Live) -> None:
    live.current = changed(live.current, "api", dialects=("openai",))
    async with house(live) as home:
        asked = head("/v1/audio/translations", 1000)
        await told(home, asked)
        assert not await entered(home, asked)


async def test_who_is_slow_is_let_in(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_PATIENCE_S", 0.1)
    asked = request()
    await told(home, asked)
    slow = await told(home, asked[:200], asked[200:], pause_s=0.5)
    assert slow.status == 503
    assert home.entered == [b"", asked[:200]]


async def test_what_is_no_form_is_not_kept_waiting(home: House) -> None:
    await told(home, request())
    async with asyncio.timeout(10):
        assert (await told(home, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")).status == 200
        assert (await told(home, b"nonsense\r\n\r\n")).status == 400


async def test_who_leaves_before_anything_is_known_is_forgotten(home: House) -> None:
    await told(home, request())
    for sent in (b"", b"POST /v1", request()[:150]):
        _, writer = await asyncio.open_connection("127.0.0.1", home.port)
        writer.write(sent)
        writer.close()
        await writer.wait_closed()
    assert not await entered(home, request())
    await until(lambda: not home.site._door._arrivals)  # type: ignore[union-attr]


@pytest.mark.parametrize("client", ["requests", "urllib3", "httpx", "openai", "aiohttp"])
async def test_a_client_that_sends_on_reads_the_answer(home: House, tmp_path: Path, client: str) -> None:
    recording = tmp_path / "talk.wav"
    recording.write_bytes(bytes(20 * 2**20))
    command = (sys.executable, CLIENTS / "uploads.py", client, home.url, recording)
    for _ in range(2):
        ran = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        answer, errors = await ran.communicate()
        assert answer.split() == [b"503", b"7"], errors.decode()
    assert len(home.entered) == 1
    await until(lambda: not home.site._door._arrivals)  # type: ignore[union-attr]


# ---- as long as it takes -------------------------------------------------------------------------


async def refused(home: House, sent: bytes) -> socket.socket:
    """A client who has its answer, and yet goes on to send."""
    client = socket.create_connection(("127.0.0.1", home.port))
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, sent)
    assert b" 503 " in await loop.sock_recv(client, 2**16)
    return client


def unfinished(path: str = OPENAI) -> Sequence[bytes]:
    body = form()
    return head(path, 10**6), body[:300]


async def test_a_body_without_an_end_is_taken_for_so_long(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LINGERING_S", 0.3)
    asked = b"".join(unfinished())
    (await refused(home, asked)).close()
    client = await refused(home, asked)
    assert len(home.entered) == 1
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, b"x" * 1000)
    async with asyncio.timeout(10):
        assert await loop.sock_recv(client, 100) == b""
    client.close()


async def test_while_many_send_on_others_go_the_long_way(home: House) -> None:
    asked = b"".join(unfinished())
    clients = [await refused(home, asked) for _ in range(door._MOST + 2)]
    assert len(home.entered) == 2
    for client in clients:
        client.close()
    await until(lambda: not home.site._door._arrivals)  # type: ignore[union-attr]
    (await refused(home, asked)).close()
    assert len(home.entered) == 2


async def test_a_stop_lets_in_who_was_not_refused_and_ends_the_others(home: House) -> None:
    asked = b"".join(unfinished())
    (await refused(home, asked)).close()
    sending = await refused(home, asked)
    reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
    writer.write(asked[:100])
    await until(lambda: len(home.site._door._arrivals) == 2)  # type: ignore[union-attr]
    await home.site.stop()
    assert home.entered == [b"", asked[:100]]
    writer.write(asked[100:])
    assert b" 503 " in await reader.readline()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        assert await loop.sock_recv(sending, 100) == b""
    sending.close()
    writer.close()
