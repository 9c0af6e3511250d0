"""One request, and what it may be answered with."""

import contextlib
import io
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp

from soak.killing import Killings
from soak.material import Recording

ANSWER_WITHIN_S: Final = 600
"""Whoever waits so long is taken to have been forgotten."""
_BUSY: Final = (429, 503)
_DEATHS: Final = 2
"""A request fails when so many workers died with it."""
DIED: Final = "as did the one before it with this recording"
_NOT_READY: Final = "not ready"
_SOON_S: Final = 5


class Wrong(Exception):
    """An answer that should not have been given, or none."""


class Refused(Exception):
    """Not now, as a daemon may say that has much to do or whose worker has just died."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class WorkersDied(Exception):
    """It was in the hands of as many workers as it may be that were killed."""


@dataclass(frozen=True)
class Body:
    """What is sent."""

    data: bytes
    content_type: str


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body's JSON. Raises Wrong."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Wrong(f"an answer that is no JSON: {self.body[:200]!r}") from error


class Asker:
    """Sends requests, each over a connection of its own. To be used as a context manager."""

    def __init__(self, url: str, killings: Killings) -> None:
        self._url = url
        self._killings = killings

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._url,
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        sent: AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> Answer:
        """The answer with this status; `sent` is the body in another pace.

        Raises Refused and WorkersDied where there was a reason for it, else Wrong.
        """
        began = time.monotonic()
        async with self._reply(method, path, body, sent, headers) as reply:
            answer = Answer(reply.status, reply.headers, await reply.read())
        if answer.status != status:
            self._excuse(f"{method} {path}", answer, began)
        return answer

    async def is_ready(self) -> bool:
        """Whether the daemon says that it is."""
        async with self._reply("GET", "/health/ready", None, None, None) as reply:
            return reply.status == 200

    @contextlib.asynccontextmanager
    async def stream(self, path: str, body: Body) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that is read as it comes. Raises what `ask` raises."""
        began = time.monotonic()
        async with self._reply("POST", path, body, None, None) as reply:
            if reply.status != 200:
                self._excuse(f"POST {path}", Answer(reply.status, reply.headers, await reply.read()), began)
            yield reply

    def excuse_failure(self, what: str, message: str, began: float) -> None:
        """Raise Refused or WorkersDied for a failure that has its reason, else Wrong."""
        if _NOT_READY in message and self._killings.missed(began, time.monotonic()):
            raise Refused(_SOON_S)  # one of several recordings, which has no header to say when
        deaths = self._killings.between(began, time.monotonic())
        if DIED in message and deaths >= _DEATHS:
            raise WorkersDied
        raise Wrong(f"{what}: {message} ({deaths} workers were killed meanwhile)")

    def _excuse(self, what: str, answer: Answer, began: float) -> None:
        if answer.status in _BUSY:
            retry_after = answer.headers.get("Retry-After", "")
            if not re.fullmatch("[1-9][0-9]*", retry_after):
                raise Wrong(f"{what}: {answer.status} with Retry-After {retry_after!r}")
            if _NOT_READY in answer.text and not self._killings.missed(began, time.monotonic()):
                raise Wrong(f"{what}: {answer.text[:300]}, though no worker was missed")
            raise Refused(int(retry_after))
        self.excuse_failure(what, f"{answer.status} {answer.body[:300]!r}", began)

    @contextlib.asynccontextmanager
    async def _reply(
        self,
        method: str,
        path: str,
        body: Body | None,
        sent: AsyncIterator[bytes] | None,
        headers: Mapping[str, str] | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        all_headers = dict(headers or {})
        if body:
            all_headers |= {"Content-Type": body.content_type, "Content-Length": str(len(body.data))}
        try:
            async with self._session.request(
                method, path, data=sent or (body and io.BytesIO(body.data)), headers=all_headers
            ) as reply:
                yield reply
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Wrong(f"{method} {path}: no answer, but {error!r}") from error


def form(*files: tuple[str, Recording], **fields: str) -> Body:
    """A form of several parts: recordings by their fields, and other fields."""
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in fields.items()
    ]
    for name, recording in files:
        head = (
            f'Content-Disposition: form-data; name="{name}"; filename="{recording.filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        parts.append(head.encode() + recording.data)
    boundary = uuid.uuid4().hex
    joined = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return Body(joined + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")


def as_json(**values: Any) -> Body:
    """A JSON body."""
    return Body(json.dumps(values).encode(), "application/json")
