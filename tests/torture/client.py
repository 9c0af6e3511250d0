"""HTTP to a daemon that may be gone at any moment."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Self

import aiohttp
from aiohttp import ClientResponse

PAUSE_S: Final = 0.1
NOT_NOW: Final = frozenset({429, 503, 507})
"""Answers that say that nothing was kept, and that the same may be asked for again."""
BROKEN: Final = (aiohttp.ClientError, OSError, TimeoutError)
"""There was no answer, or no whole one."""

Connect = Callable[..., socket.socket]


class Client:
    """Each request has a connection of its own. To be used as a context manager."""

    def __init__(self, url: str, connect: Connect | None = None) -> None:
        self._url = url
        self._connect = connect

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(force_close=True, limit=0, socket_factory=self._connect)
        timeout = aiohttp.ClientTimeout(total=60)
        self._session = aiohttp.ClientSession(self._url, connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(
        self, path: str, form: aiohttp.FormData, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Once; the status and the JSON. Raises what is in BROKEN."""
        async with self._session.post(path, data=form, headers=headers) as reply:
            return reply.status, await reply.json(content_type=None)

    async def get(self, path: str) -> Any:
        """The JSON; None for 404. Asks until somebody answers."""
        while True:
            try:
                async with self._session.get(path) as reply:
                    if reply.status == 404:
                        return None
                    if reply.status == 200:
                        return await reply.json()
                    if reply.status not in NOT_NOW:
                        raise AssertionError(f"GET {path}: {reply.status} {await reply.text()}")
            except BROKEN:
                pass
            await asyncio.sleep(PAUSE_S)

    def stream(self, path: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[ClientResponse]:
        """The reply to a GET, to be read as it comes. Raises what is in BROKEN."""
        return self._session.get(path, headers=headers)

    async def jobs(self) -> list[Any]:
        """Every job that is listed."""
        found: list[Any] = []
        while page := await self.get(f"/v1/jobs?limit=100&offset={len(found)}"):
            found += page
        return found

    async def text(self, job_id: str) -> str | None:
        """The words of a job."""
        transcription = await self.get(f"/v1/transcriptions/{job_id}")
        return None if transcription is None else transcription["text"]
