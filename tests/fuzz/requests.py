"""Hostile requests, sent byte for byte: what forms, JSON and heads may hold that nobody foresaw."""

import contextlib
import http.client
import json
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from fuzz.mutate import mutated

_BOUNDARY = "b"
_FIELDS = (
    *("file", "audio", "files", "audio_url"),
    *("model", "language", "response_format", "temperature", "stream"),
)
_DEEP = "[" * 100_000
_TEXTS = (
    *("", " ", "\0", "\r\n", "x" * 70_000, "\u202e", "\ufeff", "\U0001f3a4", "%00", "../../etc/passwd"),
    *("-1", "0", "1e308", "1e400", "NaN", "Infinity", "9" * 5000, "0x10", "\u0661", "true", "null", "[]"),
    *(
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "gopher://x",
        "http://[::1",
        "http://u:p@169.254.169.254/",
    ),
)
_VALUES: tuple[Any, ...] = (
    *_TEXTS,
    *(None, True, 0, -1, 1e308, 2**63, 2**70),
    *([], {}, [[]], {"a": {}}, [None] * 1000),
)
_NAMES = (
    *("audio_url", "url", "text", "model", "messages", "prompt", "tracks", "track_url", "output_url"),
    *("silence_seconds", "language_code", "source_language", "target_language"),
    *("webhook_url", "priority", "deadline"),
)
_BODIES = (_DEEP, '{"a":' * 50_000, '"\\ud800"', "\ufeff{}", "{", "1", '{"a":1,"a":2}', "")
_PAIRS = ("audio_url=%00", "model=%zz", "%=%", "%ff=%ff", f"a+b={'x' * 99}", "=", "audio_url=http://[")
_DISPOSITIONS = (
    'form-data; name="{name}"; filename="{text}"',
    'form-data; name="{name}"',
    'form-data; name="{name}"; name="other"; filename="a"; filename="b"',
    "form-data; name={name}; filename*=UTF-8''%00%2e%2e%2fx",
    "form-data; name={name}; filename*=utf-7''+ADw-; filename*0=a; filename*1=b",
    'attachment; filename="{text}"',
    'form-data; name="',
    "",
)
_PART_HEADERS = (
    "",
    "Content-Type: audio/wav\r\n",
    "Content-Type: multipart/mixed; boundary=c\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: \xff\r\n",
    "Content-Encoding: gzip\r\n",
    "Content-Encoding: deflate\r\n",
    "Content-Length: 99999999999\r\n",
    "Content-Type: text/plain; charset=utf-99\r\n",
    "X: " + "x" * 20_000 + "\r\n",
    " folded\r\n",
)
_TYPES = (
    "multipart/form-data; boundary=b",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary="b"; boundary=c',
    "multipart/form-data",
    "multipart/mixed; boundary=b",
    "application/json",
    "application/json; charset=utf-16",
    "application/json; charset=nonsense",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-32",
    "text/plain",
    "/;=",
)
_HEADS = (
    "Content-Encoding: gzip",
    "Content-Encoding: br",
    "Content-Encoding: nonsense",
    "Idempotency-Key: " + "k" * 5000,
    "Idempotency-Key: \xff",
    "X-Forwarded-For: , ,\xff,1.2.3.4.5",
    'Forwarded: for="[::"; for=;;=',
    "Accept: \xff;q=nan",
    "Authorization: Bearer \xff\xfe",
    "Last-Event-ID: nonsense",
    "X-Request-Id: \xff",
    "Range: bytes=9-1",
)
_QUERIES = (
    "",
    "?language=%ff",
    "?a" * 100,
    "?include_segments=maybe&include_segments=true",
    "?%00=%00",
    "?=&&=",
)


@dataclass(frozen=True)
class Case:
    """One request, and where it goes."""

    path: str
    content: bytes
    """From its first byte to its last."""


def cases(paths: list[str], recording: bytes, seed: int) -> Iterator[Case]:
    """Requests without end, to all of the paths in turn."""
    number = 0
    while True:
        for path in paths:
            rng = random.Random(f"{seed} requests {number}")
            number += 1
            body, kind = rng.choice((_form, _form, _json, _urlencoded))(rng, recording)
            if rng.random() < 0.3:
                body = mutated(body, [recording], rng)
            if rng.random() < 0.1:
                kind = rng.choice(_TYPES)
            heads = [f"POST {path}{rng.choice(_QUERIES)} HTTP/1.1", "Host: x", f"Content-Type: {kind}"]
            heads += rng.sample(_HEADS, rng.choice((0, 0, 1, 2)))
            if rng.random() < 0.2:
                heads.append("Transfer-Encoding: chunked")
                body = _chunked(body, rng)
            else:
                heads.append(f"Content-Length: {len(body) + rng.choice((0,) * 20 + (-1, 1))}")
            yield Case(path, "\r\n".join([*heads, "Connection: close", "", ""]).encode("latin-1") + body)


class Answer(NamedTuple):
    """What came back."""

    status: int
    """0 where the server closed without an answer."""
    body: bytes


def send(port: int, case: Case, timeout_s: float = 30.0) -> Answer:
    """Send it, and read the answer to its end. Raises TimeoutError."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        # The server may answer and close before it has read all.
        with contextlib.suppress(ConnectionError):
            connection.sendall(case.content)
        try:
            answer = http.client.HTTPResponse(connection, method="POST")
            answer.begin()
            return Answer(answer.status, answer.read())
        except (ConnectionError, http.client.HTTPException):
            return Answer(0, b"")


def _form(rng: random.Random, recording: bytes) -> tuple[bytes, str]:
    body = b""
    for _ in range(rng.choice((0, 1, 2, 2, 5, 150))):
        name = rng.choice((*_FIELDS, rng.choice(_TEXTS)[:100]))
        text = rng.choice(_TEXTS)[:2000]
        disposition = rng.choice(_DISPOSITIONS).format(name=name, text=text)
        content = rng.choice((recording[: rng.randrange(2000)], text.encode(), b"", b"\r\n--b", b"\xff\xfe"))
        head = f"--{_BOUNDARY}\r\nContent-Disposition: {disposition}\r\n{rng.choice(_PART_HEADERS)}\r\n"
        body += head.encode("utf-8", "replace") + content + b"\r\n"
    ending = rng.choice((b"--b--\r\n", b"--b--\r\n", b"--b--", b"--b", b""))
    return body + ending, f"multipart/form-data; boundary={_BOUNDARY}"


def _json(rng: random.Random, _: bytes) -> tuple[bytes, str]:
    wanted = rng.sample(_NAMES, rng.randrange(1, len(_NAMES)))
    body = json.dumps({name: rng.choice(_VALUES) for name in wanted})
    return (rng.choice(_BODIES) if rng.random() < 0.1 else body).encode(), "application/json"


def _urlencoded(rng: random.Random, _: bytes) -> tuple[bytes, str]:
    pairs = rng.choices(_PAIRS, k=rng.choice((1, 3, 200)))
    return "&".join(pairs).encode(), "application/x-www-form-urlencoded"


def _chunked(body: bytes, rng: random.Random) -> bytes:
    sent = b""
    while body:
        size = rng.choice((1, 7, 100, 5000, len(body)))
        sent += b"%x\r\n" % len(body[:size]) + body[:size] + b"\r\n"
        body = body[size:]
    return sent + rng.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"-1\r\n\r\n", b"ffffffffffffffff\r\n", b"")
    )
