"""The flood of the overload benchmark sends what it should, and tells rightly what came back."""

import asyncio
from collections import Counter

from aiohttp import web
from aiohttp.test_utils import TestServer
from benchmarks.flood import ADDRESSES, Flood
from benchmarks.overload import Asked

RAW = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """Answers every second request, refuses the others, and breaks every tenth connection."""

    def __init__(self) -> None:
        self.peers: Counter[str | None] = Counter()
        self.most_at_once = 0
        self._at_once = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.peers[request.remote] += 1
        number = self.peers.total()
        assert await request.read() == b"hello"
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0.01)
        self._at_once -= 1
        if number % 10 == 0:
            assert request.transport
            request.transport.close()
        return (
            web.Response(text="yes") if number % 2 else web.Response(status=503, headers={"Retry-After": "3"})
        )


async def flooded(server: Server, *, at_once: int | None = None) -> list[Asked]:
    app = web.Application()
    app.router.add_post("/", server.handle)
    async with TestServer(app, host="127.0.0.1") as running:
        assert running.port
        flood = Flood(running.port, RAW)
        if at_once:
            await asyncio.to_thread(flood.closed_loop, 0.3, at_once)
        else:
            await asyncio.to_thread(flood.open_loop, 0.5, 80)
        return [Asked(*told) for told in flood.told]


async def test_an_open_loop_sends_as_many_as_were_wanted_from_each_address() -> None:
    server = Server()
    asked = await flooded(server)
    assert len(asked) == server.peers.total() == 40
    assert set(server.peers.values()) == {40 // ADDRESSES}
    statuses = Counter((each.status, each.retry_after_s) for each in asked)
    assert statuses[200, None] == 20
    assert statuses[503, 3] == 16
    assert statuses[0, None] == 4
    for each in asked:
        assert (each.ended is None) == (each.status == 0)
        assert each.ended is None or each.began <= each.ended


async def test_a_closed_loop_has_so_many_at_once_and_no_more() -> None:
    server = Server()
    asked = await flooded(server, at_once=3)
    assert server.most_at_once == 3
    assert len(asked) > 6
