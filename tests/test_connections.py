"""Connections: how long a client may take for a head, and what happens where there is no room for more."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from certificates import Authority, server_context
from conftest import changed, until

from whisperd.config.live import Live
from whisperd.config.units import Duration
from whisperd.web import connections, malformed
from whisperd.web.connections import Connections, Site

HEAD_S = 0.3
ASKED = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
MUCH = 32 * 2**20
"""More than the kernel keeps for a client."""
OK = b"HTTP/1.1 200 OK"


@dataclass
class Server:
    """A small application behind a site."""

    port: int
    connections: Connections
    site: Site
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    clients: list["Client"] = field(default_factory=list)

    async def client(self, tls: ssl.SSLContext | None = None) -> "Client":
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=tls, server_hostname="localhost" if tls else None
        )
        self.clients.append(Client(reader, writer))
        return self.clients[-1]


@dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes = ASKED) -> bytes:
        """Send; the answer's first line."""
        self.writer.write(request)
        line = await self.reader.readline()
        length = 0
        while (header := await self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        await self.reader.readexactly(length)
        return line.rstrip()

    async def trickle(self, request: bytes, every_s: float) -> None:
        """Send a byte at a time, as long as somebody takes it."""
        with contextlib.suppress(ConnectionError):
            for byte in request:
                self.writer.write(bytes([byte]))
                await self.writer.drain()
                await asyncio.sleep(every_s)

    async def ended(self) -> bool:
        """Whether it comes to its end, without an answer."""
        async with asyncio.timeout(20):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@contextlib.asynccontextmanager
async def serving(
    live: Live,
    *,
    most: int | None = None,
    tls: ssl.SSLContext | None = None,
    listener: socket.socket | None = None,
) -> AsyncIterator[Server]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def hold(_: web.Request) -> web.Response:
        server.waiting += 1
        await server.may_answer.wait()
        return web.Response()

    async def much(_: web.Request) -> web.Response:
        server.waiting += 1
        return web.Response(body=bytes(MUCH))

    async def file(_: web.Request) -> web.FileResponse:
        server.waiting += 1
        return web.FileResponse(large)

    large = live.current.paths.spool.with_name("large")
    large.write_bytes(bytes(MUCH))
    app = web.Application()
    app.router.add_get("/file", file)
    app.router.add_get("/much", much)
    app.router.add_route("*", "/", answer)
    app.router.add_get("/hold", hold)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server
    listener = listener or socket.create_server(("127.0.0.1", 0))
    all_of_them = Connections(runner.server, live, most)
    site = Site(runner, all_of_them, listener, tls)
    server = Server(listener.getsockname()[1], all_of_them, site)
    await site.start()
    try:
        yield server
    finally:
        for client in server.clients:
            client.writer.transport.abort()
        await runner.cleanup()
        await until(lambda: not all_of_them._open)


@pytest.fixture
def hasty(live: Live) -> Live:
    live.current = changed(live.current, "limits", head=Duration(f"{int(HEAD_S * 1000)}ms"))
    return live


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


# ---- heads that do not come ----------------------------------------------------------------------


async def test_a_connection_without_a_request_is_ended(hasty: Live) -> None:
    async with serving(hasty) as server:
        assert await (await server.client()).ended()


async def test_a_head_that_trickles_is_not_waited_for(hasty: Live) -> None:
    async with serving(hasty) as server:
        client = await server.client()
        trickling = asyncio.create_task(client.trickle(ASKED * 100, HEAD_S / 10))
        assert await client.ended()
        trickling.cancel()


async def test_a_second_head_that_trickles_is_not_waited_for_either(hasty: Live) -> None:
    async with serving(hasty) as server:
        client = await server.client()
        assert await client.ask() == OK
        trickling = asyncio.create_task(client.trickle(b"GET / HTTP/1.1\r\nX-Padding: " + b"x" * 1000, 0.02))
        assert await client.ended()
        trickling.cancel()


async def test_a_body_may_take_longer_than_a_head(hasty: Live) -> None:
    async with serving(hasty) as server:
        client = await server.client()
        client.writer.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n")
        await asyncio.sleep(2 * HEAD_S)
        assert await client.ask(b"abc") == OK


async def test_an_answer_may_take_longer_than_a_head(hasty: Live) -> None:
    async with serving(hasty) as server:
        client = await server.client()
        asking = asyncio.create_task(client.ask(ASKED.replace(b"/ ", b"/hold ", 1)))
        await asyncio.sleep(2 * HEAD_S)
        server.may_answer.set()
        assert await asking == OK


async def test_a_connection_that_was_used_may_idle(hasty: Live) -> None:
    async with serving(hasty) as server:
        client = await server.client()
        assert await client.ask() == OK
        await asyncio.sleep(3 * HEAD_S)
        assert await client.ask() == OK


async def test_requests_behind_each_other_are_all_answered(hasty: Live) -> None:
    async with serving(hasty) as server:
        client = await server.client()
        client.writer.write(ASKED * 3)
        await asyncio.sleep(2 * HEAD_S)
        assert [await client.ask(b"") for _ in range(3)] == [OK] * 3


async def test_a_handshake_that_is_not_made_is_not_waited_for(hasty: Live, authority: Authority) -> None:
    async with serving(hasty, tls=server_context(*authority.issue("server"))) as server:
        assert await (await server.client()).ended()


async def test_the_head_behind_a_handshake_is_not_waited_for(hasty: Live, authority: Authority) -> None:
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    async with serving(hasty, tls=server_context(*authority.issue("server"))) as server:
        client = await server.client(trusting)
        assert await client.ended()
        client = await server.client(trusting)
        assert await client.ask() == OK


@pytest.mark.parametrize("path", ["much", "file"])
async def test_an_answer_that_is_not_read_is_not_waited_for(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    malformed.keep_out_of_the_log()
    monkeypatch.setattr(connections, "_UNREAD_MS", int(HEAD_S * 1000))
    async with serving(live) as server:
        client = await server.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(ASKED.replace(b"/ ", f"/{path} ".encode(), 1))
        await until(lambda: server.waiting == 1)
        await until(lambda: not server.connections._open)
    assert [record.levelname for record in caplog.records if record.exc_info] == []
    assert {record.levelname for record in caplog.records} <= {"INFO"}


async def test_a_connection_that_cannot_end_for_its_client_makes_room(live: Live) -> None:
    """It is closed already, but for what the client has not taken."""
    async with serving(live, most=1) as server:
        client = await server.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(ASKED.replace(b"/ ", b"/much ", 1))
        await until(lambda: server.waiting == 1)
        [stuck] = server.connections._open
        await until(lambda: stuck.writing_paused)
        stuck.force_close()
        assert await (await server.client()).ask() == OK


async def test_an_answer_that_is_read_late_is_whole(live: Live) -> None:
    async with serving(live) as server:
        client = await server.client()
        client.writer.write(ASKED.replace(b"/ ", b"/much ", 1))
        await until(lambda: server.waiting == 1)
        await asyncio.sleep(HEAD_S)
        assert len(await client.reader.readuntil(b"\r\n\r\n") + await client.reader.readexactly(MUCH)) > MUCH


# ---- no room -------------------------------------------------------------------------------------


async def test_the_oldest_idle_connection_makes_room(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(live, most=3) as server:
        first, second, third = [await server.client() for _ in range(3)]
        for client in (second, first, third):
            assert await client.ask() == OK
        assert caplog.records == []
        assert await (await server.client()).ask() == OK
        assert await second.ended()
        assert await first.ask() == OK
        assert await third.ask() == OK
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


async def test_connections_that_ask_nothing_cannot_keep_others_out(live: Live) -> None:
    async with serving(live, most=10) as server:
        for _ in range(100):
            await server.client()
        assert await (await server.client()).ask() == OK
        assert len(server.connections._open) <= 10


async def test_handshakes_that_are_not_made_cannot_keep_others_out(live: Live, authority: Authority) -> None:
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    async with serving(live, most=10, tls=server_context(*authority.issue("server"))) as server:
        for _ in range(50):
            await server.client()
        assert await (await server.client(trusting)).ask() == OK


async def test_requests_at_work_keep_their_connections_and_others_wait(live: Live) -> None:
    async with serving(live, most=2) as server:
        held = [await server.client() for _ in range(2)]
        asking = [asyncio.create_task(client.ask(ASKED.replace(b"/ ", b"/hold ", 1))) for client in held]
        await until(lambda: server.waiting == 2)
        late = await server.client()
        answer = asyncio.create_task(late.ask())
        await asyncio.sleep(3 * connections._LOOK_AGAIN_S)
        assert not answer.done()
        server.may_answer.set()
        assert await asyncio.gather(*asking) == [OK, OK]
        assert await answer == OK


class Starved(socket.socket):
    """A listening socket of a process that has no descriptor left for a while."""

    failures = 3

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


async def test_descriptors_that_run_out_are_told_of_once_and_waited_for(
    live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_PAUSE_S", 0.01)
    listener = Starved(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    async with serving(live, listener=listener) as server:
        assert await (await server.client()).ask() == OK
    assert caplog.messages == ["can't take connections: Too many open files; trying again"]


async def test_a_site_that_has_stopped_takes_none(live: Live) -> None:
    async with serving(live) as server:
        client = await server.client()
        await server.site.stop()
        with pytest.raises(ConnectionRefusedError):
            await server.client()
        assert await client.ask() == OK
