"""A receiver of webhooks on the loopback, that answers as it is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy


@dataclass(frozen=True)
class Received:
    """A request that came."""

    path: str
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Receiver:
    """What came, and what is answered: the status, or the next of several, the last one for ever."""

    def __init__(self) -> None:
        self.url = ""
        """Where webhooks go to."""
        self.received: list[Received] = []
        self.statuses = [200]
        self.headers: Mapping[str, str] = {}
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.hanging = 0
        """Requests that wait for `may_answer`."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        self.received.append(Received(request.raw_path, request.headers, await request.read()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.hanging += 1
        try:
            await self.may_answer.wait()
        finally:
            self.hanging -= 1
        if status == -1:
            return await _endless(request)
        return web.Response(status=status, headers=self.headers)

    def at(self, host: str) -> str:
        """Its URL under another name."""
        return self.url.replace("127.0.0.1", host)


async def _endless(request: web.Request) -> web.StreamResponse:
    """200, and a body that never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(bytes(2**16))


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run one, on a free port of 127.0.0.1."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(access_log=None)
    receiver.url = str(server.make_url("/hook"))
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        await server.close()
