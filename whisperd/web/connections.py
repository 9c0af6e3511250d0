"""Connections: as many as there is room for, each for as long as its client does its part.

aiohttp's own wait an hour for the head of a request, and for ever until an answer is read, and take up every
descriptor that the process may have.
"""

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from whisperd.config.live import Live
from whisperd.web.door import Door
from whisperd.web.turnstile import BEGINNING_BYTES, Turnstile

logger = logging.getLogger(__name__)

_SHARE: Final = 3
"""One in so many descriptors may be a client's: its recording takes another, and workers, databases and other
servers need some.
"""
_TAKEN_AT_ONCE: Final = 64
"""Then whoever is connected has a turn."""
_ROUND_S: Final = 0.02
"""While much is refused, connections are taken as often as that: to do the same several times in one go takes
two thirds of the time, and leaves the caches to those who work.
"""
_LOOK_AGAIN_S: Final = 0.1
_PAUSE_S: Final = 1.0
"""After a failure to take a connection, which the next one would meet too."""
_TOLD_EVERY_S: Final = 60.0
_UNREAD_MS: Final = 120_000
"""A client that takes nothing of its answer for so long loses the connection: the kernel sees to that."""


class Connection(web.RequestHandler):
    """A connection whose client has so long for the head of a request, from its first byte on.

    For the first head the time runs from the connection's beginning.
    """

    __slots__ = ("_came", "_ended", "_head_came", "_head_due", "_head_s", "_late", "_line", "began_with")

    def __init__(
        self,
        server: web.Server,
        head_s: float,
        came: bytes,
        *,
        head_came: Callable[["Connection"], None],
        ended: Callable[["Connection"], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, **server._kwargs)  # noqa: SLF001 - as the server itself makes one
        self._head_s = head_s
        self._head_due = loop.time() + head_s
        self._line: asyncio.Transport | None = None
        """aiohttp lets go of its own when it closes, which takes as long as the client likes."""
        self._late: asyncio.TimerHandle | None = None
        self._head_came = head_came
        self._ended = ended
        self._came = came
        self.began_with = b""
        """The first bytes of its first request, as long as there is no other."""

    @property
    def begun(self) -> bool:
        """Whether there is a connection, and its end will be told."""
        return self._line is not None

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, or for nothing any more."""
        if self._waiter:
            return not self._waiter.done()
        return not (self._request_count and self.connected)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._line = self.transport
        self._late = self._loop.call_at(self._head_due, self.give_up)
        if self._came:
            came, self._came = self._came, b""
            self.data_received(came)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        heads = self._request_count
        if heads < 2 and len(self.began_with) < BEGINNING_BYTES:
            self.began_with += data[: BEGINNING_BYTES - len(self.began_with)]
        super().data_received(data)
        if self._request_count > 1:
            self.began_with = b""
        if self._request_count > heads:
            self._wait_no_longer()
            self._head_came(self)
        elif data and self._late is None and self.idle:
            self._late = self._loop.call_later(self._head_s, self.give_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._wait_no_longer()
        super().connection_lost(exc)
        self._line = None
        self._ended(self)

    def give_up(self) -> None:
        """End it at once, whatever the client has yet to do."""
        if self._line:
            self._line.abort()

    def _wait_no_longer(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None


class Connections:
    """All that are open, up to a limit.

    Beyond it the one that has been without a request for the longest makes room for a new one. While all are
    at work, new ones wait in the sockets' queues.
    """

    def __init__(self, server: web.Server, live: Live, most: int | None = None) -> None:
        """`most` may be open at once; without it that is a share of the descriptors."""
        self._server = server
        self._live = live
        self._most = most or resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE
        self._open: dict[Connection, asyncio.Task[None]] = {}
        """With what began them. The one whose last head is the oldest comes first."""
        self._left = asyncio.Event()
        self._told_at = -_TOLD_EVERY_S

    @property
    def full(self) -> bool:
        """Whether there is room for none more."""
        return len(self._open) >= self._most

    def add(self, accepted: socket.socket, came: bytes = b"", context: ssl.SSLContext | None = None) -> None:
        """Serve a client who has sent so much already."""
        connection = Connection(
            self._server, self._live.current.limits.head, came, head_came=self._used, ended=self._forget
        )
        beginning = asyncio.create_task(self._begin(connection, accepted, context))
        self._open[connection] = beginning

        def begun(_: asyncio.Task[None]) -> None:
            if not connection.begun:  # nor will its end be told
                accepted.close()
                self._forget(connection)

        beginning.add_done_callback(begun)

    async def room(self) -> None:
        """Wait until there is room for one more."""
        while self.full:
            self._tell()
            self._left.clear()
            if idle := next((connection for connection in self._open if connection.idle), None):
                idle.give_up()
                self._open[idle].cancel()  # if it is shaking hands
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):  # one that is at work may be idle by then
                    await self._left.wait()

    async def _begin(
        self, connection: Connection, accepted: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        secured: dict[str, Any] = {}
        if context:
            secured = {"ssl": context, "ssl_handshake_timeout": self._live.current.limits.head}
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: connection, accepted, **secured)
        except OSError as error:  # TLS's among them
            logger.debug("a connection came to nothing: %s", error)

    def _used(self, connection: Connection) -> None:
        self._open[connection] = self._open.pop(connection)

    def _forget(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self._left.set()

    def _tell(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _TOLD_EVERY_S:
            self._told_at = now
            logger.warning("%d connections are open, and more wait: those without a request end", self._most)


class Site(web.BaseSite):
    """Takes the connections that come to one listening socket."""

    __slots__ = ("_connections", "_door", "_failing", "_listener", "_pausing")

    def __init__(
        self,
        runner: web.AppRunner,
        connections: Connections,
        listener: socket.socket,
        context: ssl.SSLContext | None = None,
        turnstile: Turnstile | None = None,
    ) -> None:
        super().__init__(runner, ssl_context=context)
        self._connections = connections
        # Encrypted, the first bytes tell nothing.
        self._door = Door(turnstile, connections.add) if turnstile and not context else None
        self._listener = listener
        self._failing = False
        self._pausing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self._listener.getsockname())

    async def start(self) -> None:
        """Take connections from now on."""
        await super().start()
        self._listener.setblocking(False)
        if self._listener.family != socket.AF_UNIX:  # those that it accepts inherit it
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
        self._listen()

    async def stop(self) -> None:
        """Take no more; those that are open stay."""
        await super().stop()
        if self._pausing:
            self._pausing.cancel()
            await asyncio.wait([self._pausing])
        if self._door:
            self._door.close()
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()

    def _listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Take those that wait, while there is room; called as long as there are any."""
        if self._connections.full:
            self._pause(self._connections.room)
        elif not self._take():
            self._pause(lambda: asyncio.sleep(_PAUSE_S))
        elif self._door and self._door.watched:
            self._pause(lambda: asyncio.sleep(_ROUND_S))

    def _take(self) -> bool:
        """Whether that was possible."""
        for _ in range(_TAKEN_AT_ONCE):
            try:
                accepted, address = self._listener.accept()
            except BlockingIOError:
                break
            except ConnectionAbortedError:
                continue  # by a client that could not wait
            except OSError as error:
                if not self._failing:
                    logger.error("can't take connections: %s; trying again", error.strerror)  # noqa: TRY400
                self._failing = True
                return False
            self._failing = False
            accepted.setblocking(False)
            if self._door and self._door.watched:
                self._door.receive(accepted, address[0])
            else:
                self._connections.add(accepted, context=self._ssl_context)
            if self._connections.full:
                break
        return True

    def _pause(self, over: Callable[[], Awaitable[None]]) -> None:
        """Let new ones wait in the socket's queue until something is over."""
        asyncio.get_running_loop().remove_reader(self._listener)

        async def pause() -> None:
            await over()
            self._listen()

        self._pausing = asyncio.create_task(pause())
