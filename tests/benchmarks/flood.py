"""`python -m benchmarks.flood PORT UPLOAD SECONDS (--rate N | --at-once N)`: very many clients.

Each request has a connection of its own, from one of several addresses of the loopback. What is sent is the
file UPLOAD as it stands, head and body; what comes back is told on stdout as JSON, an array for each request:
when it began, when it was sent as a whole, when the answer was there (seconds since the first; null where it
was not), the status, and Retry-After. One thread waits for all sockets, without a library for HTTP, so that
it costs as little as it can beside the daemon.
"""

import argparse
import contextlib
import json
import re
import select
import socket
import sys
import time
from pathlib import Path
from typing import Final

ADDRESSES: Final = 8
_ANSWER_WITHIN_S: Final = 120
_PIECE_BYTES: Final = 2**16
_HEADS_END: Final = b"\r\n\r\n"
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(\d+)\r\n", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

Told = tuple[float, float | None, float | None, int, int | None]


class Client:
    """One request, sent as a whole before its answer is read."""

    def __init__(self, port: int, upload: memoryview, number: int, began: float) -> None:
        self.began = began
        self.sent: float | None = None
        self.answer = b""
        self._left = upload
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.bind((f"127.0.0.{2 + number % ADDRESSES}", 0))
        with contextlib.suppress(BlockingIOError):
            self.socket.connect(("127.0.0.1", port))

    def send(self) -> bool:
        """As much as there is room for; whether that was all."""
        try:
            self._left = self._left[self.socket.send(self._left) :]
        except ConnectionError:  # an answer may come before all was sent
            return True
        return not self._left

    def receive(self) -> bool:
        """What there is of the answer; whether no more comes."""
        piece = self.socket.recv(_PIECE_BYTES)
        self.answer += piece
        return not piece or _is_whole(self.answer)

    def told(self, now: float) -> Told:
        """What became of it, when there is an answer or none will come."""
        if not _is_whole(self.answer):
            return (self.began, self.sent, None, 0, None)
        head = self.answer.partition(_HEADS_END)[0] + b"\r\n"
        retry_after = _RETRY_AFTER.search(head)
        return (self.began, self.sent, now, int(head[9:12]), int(retry_after[1]) if retry_after else None)


class Flood:
    """The requests of one run."""

    def __init__(self, port: int, upload: bytes) -> None:
        self.told: list[Told] = []
        self._port = port
        self._upload = memoryview(upload)
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._number = 0
        self._began = time.perf_counter()

    def open_loop(self, seconds: float, rate: float) -> None:
        """So many a second, whatever becomes of them; then wait for the last answers."""
        for number in range(round(seconds * rate)):
            while (early_s := number / rate - self._now()) > 0:
                self._serve(early_s)
            self._begin()
        self._finish()

    def closed_loop(self, seconds: float, at_once: int) -> None:
        """So many at a time, each followed by the next; then wait for the last answers."""
        while (left_s := seconds - self._now()) > 0:
            if len(self._clients) < at_once:
                self._begin()
            else:
                self._serve(left_s)
        self._finish()

    def _now(self) -> float:
        return round(time.perf_counter() - self._began, 5)

    def _begin(self) -> None:
        client = Client(self._port, self._upload, self._number, self._now())
        self._number += 1
        self._clients[client.socket.fileno()] = client
        self._poll.register(client.socket, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        self._go_on(client)

    def _serve(self, seconds: float) -> None:
        """All to whom something happens, for so long at the most."""
        for descriptor, _ in self._poll.poll(seconds):
            self._go_on(self._clients[descriptor])

    def _go_on(self, client: Client) -> None:
        try:
            if client.sent is None and client.send():
                client.sent = self._now()
            ended = client.sent is not None and client.receive()
        except BlockingIOError:
            return
        except ConnectionError:
            ended = True
        if ended:
            self._end(client)

    def _finish(self) -> None:
        until = self._now() + _ANSWER_WITHIN_S
        while self._clients and (left_s := until - self._now()) > 0:
            self._serve(left_s)
        for client in tuple(self._clients.values()):
            self._end(client)

    def _end(self, client: Client) -> None:
        self.told.append(client.told(self._now()))
        del self._clients[client.socket.fileno()]
        client.socket.close()


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
