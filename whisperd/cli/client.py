"""The HTTP side of `whisperd transcribe`: one recording to the daemon, one answer back."""

import io
import os
import stat
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import aiohttp
import msgspec
from msgspec import Struct

from whisperd.errors import WhisperdError
from whisperd.transcript.model import Notice

_PATH: Final = "/v1/audio/transcriptions"
# The daemon has its own limit on the time until the answer, and none suits every recording.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10)

Moved = Callable[[int, bool], None]
"""Told the bytes read so far, and whether these are all; from any thread."""


class Unreachable(WhisperdError):
    """Nobody listens at the address."""


class Refused(WhisperdError):
    """The daemon's own words for why there is no answer."""


class Server(NamedTuple):
    """Where the daemon is: a URL and, where it listens on one, a Unix socket."""

    url: str
    socket: str | None

    @classmethod
    def parse(cls, text: str) -> "Server":
        """Read `http://HOST:PORT`, `https://HOST` or `unix:/PATH`. Raises ValueError."""
        if text.startswith("unix:/"):
            return cls("http://localhost", text.removeprefix("unix:"))
        if text.startswith(("http://", "https://")):
            return cls(text.rstrip("/"), None)
        raise ValueError(f'"{text}" is neither http://HOST:PORT, https://HOST nor unix:/PATH')

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket else self.url


class Answer(NamedTuple):
    """The body in the format that was asked for, and what is less than was asked for."""

    body: bytes
    warnings: list[str]


class Recording(io.BufferedReader):
    """An open recording that tells how far it has been read."""

    def __init__(self, raw: io.FileIO, name: str, moved: Moved) -> None:
        super().__init__(raw)
        self._name = name
        self._moved = moved
        self._size = size_of(raw)
        self._done = 0

    @property
    def name(self) -> str:
        """The name to send: without control characters and undecodable bytes, which no header can hold."""
        return "".join(char if char.isprintable() else "_" for char in self._name)

    def read(self, size: int | None = -1) -> bytes:
        """Read, and tell."""
        chunk = super().read(size)
        self._done += len(chunk)
        self._moved(self._done, not chunk or self._done == self._size)
        return chunk


def size_of(raw: io.FileIO) -> int | None:
    """Bytes in the file; None for a pipe."""
    status = os.fstat(raw.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class _Detail(Struct):
    message: str


class _Failure(Struct):
    """The error body of the endpoint."""

    error: _Detail


class _Warned(Struct):
    """What matters here of a JSON answer."""

    warnings: list[Notice] = []


class Client:
    """Talks to one daemon; an async context manager."""

    def __init__(self, server: Server, key: str | None = None) -> None:
        self._server = server
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def __aenter__(self) -> "Client":
        connector = aiohttp.UnixConnector(self._server.socket) if self._server.socket else None
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def transcribe(self, recording: Recording, fields: Iterable[tuple[str, str]]) -> Answer:
        """Send a recording with form fields. Raises Unreachable, Refused."""
        form = aiohttp.FormData(quote_fields=False, charset="utf-8", default_to_multipart=True)
        for name, value in fields:  # before the file, so that the daemon can refuse without reading it
            form.add_field(name, value)
        form.add_field("file", recording, filename=recording.name, content_type="application/octet-stream")
        try:
            async with self._session.post(self._server.url + _PATH, data=form) as response:
                body = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
            raise Unreachable(
                f"no answer from {self._server} ({_reason(error)}); is the daemon running? "
                "Ask: systemctl status whisperd"
            ) from error
        except aiohttp.ClientError as error:
            raise Refused(f"the connection to {self._server} broke: {_reason(error)}") from error
        if not response.ok:
            raise Refused(_refusal(response, body))
        return Answer(body, _warnings(response, body))


def _reason(error: aiohttp.ClientError) -> str:
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> str:
    try:
        message = msgspec.json.decode(body, type=_Failure).error.message
    except msgspec.DecodeError:
        return f"the server answered {response.status} {response.reason}"
    return f"{message}; the key is taken from WHISPERD_KEY" if response.status == 401 else message


def _warnings(response: aiohttp.ClientResponse, body: bytes) -> list[str]:
    if response.content_type == "application/json":
        try:
            return [notice.message for notice in msgspec.json.decode(body, type=_Warned).warnings]
        except msgspec.DecodeError as error:
            raise Refused(f"the server's answer is not a transcript: {error}") from error
    codes = response.headers.get("X-Whisperd-Warnings", "")
    return [code.strip() for code in codes.split(",") if code.strip()]
