"""`python -m benchmarks.flood PORT UPLOAD SECONDS (--rate N | --at-once N)`: very many clients.

Each request has a connection of its own, from one of several addresses of the loopback. What is sent is the
file UPLOAD as it stands, head and body; what comes back is told on stdout as JSON, an array for each request:
when it began, when it was sent as a whole, when the answer was there (seconds since the first; null where it
was not), the status, and Retry-After. It uses sockets without a library for HTTP, so that it costs as little
as it can beside the daemon.
"""

import argparse
import asyncio
import contextlib
import json
import re
import socket
import sys
import time
from pathlib import Path
from typing import Final

ADDRESSES: Final = 8
_ANSWER_WITHIN_S: Final = 120.0
_PIECE_BYTES: Final = 2**16
_HEADS_END: Final = b"\r\n\r\n"
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(\d+)\r\n", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

Told = tuple[float, float | None, float | None, int, int | None]


class Flood:
    """The requests of one run."""

    def __init__(self, port: int, upload: bytes) -> None:
        self.told: list[Told] = []
        self._port = port
        self._upload = upload
        self._began = time.perf_counter()
        self._number = 0

    def _now(self) -> float:
        return round(time.perf_counter() - self._began, 5)

    async def open_loop(self, seconds: float, rate: float) -> None:
        """So many a second, whatever becomes of them; then wait for the last answers."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(round(seconds * rate)):
                await asyncio.sleep(max(0.0, number / rate - self._now()))
                tasks.create_task(self._ask())

    async def closed_loop(self, seconds: float, at_once: int) -> None:
        """So many at a time, each followed by the next; then wait for the last answers."""

        async def one_after_the_other() -> None:
            while self._now() < seconds:
                await self._ask()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(one_after_the_other())

    async def _ask(self) -> None:
        self._number += 1
        address = f"127.0.0.{2 + self._number % ADDRESSES}"
        loop = asyncio.get_running_loop()
        began, sent, ended, answer = self._now(), None, None, b""
        with contextlib.suppress(OSError, TimeoutError), socket.socket() as connection:
            connection.setblocking(False)
            connection.bind((address, 0))
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await loop.sock_connect(connection, ("127.0.0.1", self._port))
                with contextlib.suppress(ConnectionError):  # an answer may come before all was sent
                    await loop.sock_sendall(connection, self._upload)
                sent = self._now()
                while ended is None and (piece := await loop.sock_recv(connection, _PIECE_BYTES)):
                    answer += piece
                    ended = self._now() if _is_whole(answer) else None
        head = answer.partition(_HEADS_END)[0] + b"\r\n" if ended else b""
        status = int(head[9:12]) if head else 0
        retry_after = _RETRY_AFTER.search(head)
        self.told.append((began, sent, ended, status, int(retry_after[1]) if retry_after else None))


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(_HEADS_END)
    length = _LENGTH.search(head + b"\r\n")
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def main() -> None:
    """Send, and print what came back."""
    parser = argparse.ArgumentParser(prog="flood")
    parser.add_argument("port", type=int)
    parser.add_argument("upload", type=Path)
    parser.add_argument("seconds", type=float)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--rate", type=float)
    how.add_argument("--at-once", type=int)
    options = parser.parse_args()
    flood = Flood(options.port, options.upload.read_bytes())
    if options.rate:
        asyncio.run(flood.open_loop(options.seconds, options.rate))
    else:
        asyncio.run(flood.closed_loop(options.seconds, options.at_once))
    json.dump(flood.told, sys.stdout)


if __name__ == "__main__":
    main()
