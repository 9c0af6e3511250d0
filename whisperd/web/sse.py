"""Server-sent events: a reply that grows while its reader listens."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TypeVar

from aiohttp import web

from whisperd.tasks import scoped

T = TypeVar("T")

HEARTBEAT_S = 15.0
"""Silence after which a comment is sent, so that nobody on the way gives the connection up."""


class Events:
    """A reply of events, which begins with the first."""

    def __init__(self, request: web.Request, headers: Mapping[str, str] | None = None) -> None:
        self._request = request
        self._response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",  # nginx would collect them
                **(headers or {}),
            }
        )

    @property
    def begun(self) -> bool:
        """Whether anything was sent."""
        return self._response.prepared

    async def send(self, data: bytes, *, event: str | None = None, event_id: str | None = None) -> None:
        """Send one event, whose data is one line."""
        lines: Sequence[bytes] = (
            *([f"id: {event_id}\n".encode()] if event_id else ()),
            *([f"event: {event}\n".encode()] if event else ()),
            b"data: " + data + b"\n\n",
        )
        await self._write(b"".join(lines))

    async def comment(self) -> None:
        """Send a sign of life, which readers pass over."""
        await self._write(b": still at it\n\n")

    async def begin(self) -> None:
        """Send the headers."""
        if not self._response.prepared:
            await self._response.prepare(self._request)

    async def end(self) -> web.StreamResponse:
        """The whole reply, sent."""
        await self.begin()
        await self._response.write_eof()
        return self._response

    async def _write(self, data: bytes) -> None:
        await self.begin()
        await self._response.write(data)


async def beating(source: AsyncIterator[T], events: Events) -> AsyncGenerator[T, None]:
    """What the source yields; while it is silent a sign of life goes to the reader now and then."""
    while True:
        step = asyncio.ensure_future(anext(source))
        async with scoped(step):
            while not (await asyncio.wait([step], timeout=HEARTBEAT_S))[0]:
                await events.comment()
        try:
            yield step.result()
        except StopAsyncIteration:
            return
