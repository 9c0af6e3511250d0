"""`python -m benchmarks.flood PORT UPLOAD SECONDS (--rate N | --at-once N)`: very many clients.

Each request has a connection of its own, from one of several addresses of the loopback. What is sent is the
file UPLOAD as it stands, head and body; what comes back is told on stdout as JSON, an array for each request:
when it began, when it was sent as a whole, when the answer was there (seconds since the first; null where it
was not), the status, and Retry-After. It uses threads and blocking sockets, without a library for HTTP, so
that it costs as little as it can beside the daemon: a quarter less than with an event loop.
"""

import argparse
import contextlib
import json
import re
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

ADDRESSES: Final = 8
_MOST_AT_ONCE: Final = 1000
_ANSWER_WITHIN_S: Final = 120
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

    def _now(self) -> float:
        return round(time.perf_counter() - self._began, 5)

    def open_loop(self, seconds: float, rate: float) -> None:
        """So many a second, whatever becomes of them; then wait for the last answers."""
        with ThreadPoolExecutor(_MOST_AT_ONCE) as clients:
            asked = []
            for number in range(round(seconds * rate)):
                time.sleep(max(0.0, number / rate - self._now()))
                asked.append(clients.submit(self._ask, number))
            for each in asked:
                each.result()

    def closed_loop(self, seconds: float, at_once: int) -> None:
        """So many at a time, each followed by the next; then wait for the last answers."""

        def one_after_the_other(number: int) -> None:
            while self._now() < seconds:
                self._ask(number)

        with ThreadPoolExecutor(at_once) as clients:
            list(clients.map(one_after_the_other, range(at_once)))

    def _ask(self, number: int) -> None:
        began, sent, ended, answer = self._now(), None, None, b""
        with contextlib.suppress(OSError), socket.socket() as connection:
            # Python's own time limit would look before each step whether it can be done.
            for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                connection.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", _ANSWER_WITHIN_S, 0))
            connection.bind((f"127.0.0.{2 + number % ADDRESSES}", 0))
            connection.connect(("127.0.0.1", self._port))
            with contextlib.suppress(ConnectionError):  # an answer may come before all was sent
                connection.sendall(self._upload)
            sent = self._now()
            while ended is None and (piece := connection.recv(_PIECE_BYTES)):
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
        flood.open_loop(options.seconds, options.rate)
    else:
        flood.closed_loop(options.seconds, options.at_once)
    json.dump(flood.told, sys.stdout)


if __name__ == "__main__":
    main()
