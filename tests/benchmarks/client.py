"""The benchmarks' HTTP client: the standard library's, whose own cost is a fraction of a millisecond."""

import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx


@dataclass(frozen=True, slots=True)
class Form:
    """An upload, encoded before the clock starts."""

    path: str
    body: bytes
    headers: Mapping[str, str]


def form(path: str, recording: Path, **fields: str) -> Form:
    """`recording` in the field `file`, with other fields."""
    with recording.open("rb") as file:
        request = httpx.Request(
            "POST", f"http://localhost{path}", files={"file": (recording.name, file)}, data=fields
        )
        return Form(path, request.read(), {"Content-Type": request.headers["Content-Type"]})


def post(port: int, upload: Form) -> float:
    """Send over a new connection; seconds until the whole reply is there."""
    return exchange(port, upload)[0]


def exchange(port: int, upload: Form) -> tuple[float, bytes]:
    """Send over a new connection; seconds until the whole reply is there, and the reply."""
    started = time.perf_counter()
    connection = send(port, upload)
    reply = connection.getresponse()
    body = reply.read()
    seconds = time.perf_counter() - started
    connection.close()
    if reply.status != 200:
        raise RuntimeError(f"POST {upload.path}: {reply.status} {body[:500]!r}")
    return seconds, body


def send(port: int, upload: Form) -> http.client.HTTPConnection:
    """Send and do not wait for the reply; closing the connection cancels the request."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", upload.path, upload.body, dict(upload.headers))
    return connection


def get(port: int, path: str) -> tuple[float, bytes]:
    """Ask over a new connection; seconds until the whole reply is there, and the reply."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    body = connection.getresponse().read()
    seconds = time.perf_counter() - started
    connection.close()
    return seconds, body
