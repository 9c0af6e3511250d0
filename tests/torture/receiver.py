"""The other side: takes webhooks, often badly, and serves the recordings that jobs name by URL."""

import asyncio
import json
import random
import socket
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final, Self

from aiohttp import web
from file_server import FileServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from torture.moments import Moments

_TROUBLES: Final = ("late", "error", "hang up")
_TROUBLED: Final = 0.25
"""The share of first attempts that meet one of them."""


@dataclass(frozen=True)
class Hook:
    """A webhook that came."""

    id: str
    genuine: bool
    """Whether the signature is right."""
    body: bytes
    taken: bool
    """Whether the sender was told so."""

    @property
    def said(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


class Receiver:
    """A server that can be down. To be used as a context manager."""

    def __init__(self, moments: Moments, seed: int, secret: str) -> None:
        self.hooks: defaultdict[int, list[Hook]] = defaultdict(list)
        """By the number of the job."""
        self.files = FileServer()
        self._moments = moments
        self._chance = random.Random(seed)
        self._webhook = Webhook(secret)
        self._site: web.SockSite | None = None
        app = web.Application()
        app.router.add_post("/hooks/{number}", self._take)
        app.router.add_route("*", "/files/{name}", self.files.answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def up(self, listening: socket.socket) -> None:
        """Serve on a socket."""
        self._site = web.SockSite(self._runner, listening)
        await self._site.start()

    async def down(self) -> None:
        """Refuse connections, until it is up again."""
        assert self._site
        await self._site.stop()

    def taken(self, number: int) -> bool:
        """Whether the webhook of a job has arrived."""
        return any(hook.taken for hook in self.hooks[number])

    async def _take(self, request: web.Request) -> web.StreamResponse:
        hooks = self.hooks[int(request.match_info["number"])]
        body = await request.read()
        self._moments.tell("a webhook is being taken")
        troubled = not hooks and self._chance.random() < _TROUBLED
        trouble = self._chance.choice(_TROUBLES) if troubled else None
        taken = trouble in (None, "late")
        hooks.append(Hook(request.headers["webhook-id"], self._genuine(request, body), body, taken))
        match trouble:
            case "late":
                await asyncio.sleep(1)
            case "error":
                return web.Response(status=self._chance.choice((404, 429, 500, 503)))
            case "hang up":
                assert request.transport
                request.transport.close()
        return web.Response()

    def _genuine(self, request: web.Request, body: bytes) -> bool:
        try:
            self._webhook.verify(body, dict(request.headers))
        except WebhookVerificationError:
            return False
        return True
