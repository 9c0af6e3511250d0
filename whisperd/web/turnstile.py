"""Which requests are like one that was just refused for want of room: the first bytes tell.

While there is too much to do, nearly all that comes is refused, on the cores that are to work. Most of what a
refusal costs is to find out what is asked for, and that is what those who ask again have told before. Two
requests are alike where one client sends the same head and the same fields before the recording, but for the
boundary and the exact length of the form. Whether there is room by now is asked for each of them.
"""

import hashlib
import re
import time
from collections.abc import Callable
from typing import Final, NamedTuple

BEGINNING_BYTES: Final = 8192
"""No more is looked at."""
_KEPT: Final = 64
_KEPT_S: Final = 5.0
"""Then one goes the long way again, in case that keys or settings were changed."""

_METHOD: Final = b"POST "
_HEADS_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d{1,15})(?=\r\n|$)", re.IGNORECASE)
_BOUNDARY: Final = re.compile(
    rb'\r\ncontent-type: *multipart/form-data;[^\r\n]*boundary="?([^"\r\n;]{8,70})', re.IGNORECASE
)
_FILE: Final = re.compile(rb"\r\ncontent-disposition:[^\r\n]*filename", re.IGNORECASE)

Again = Callable[[float], bytes | None]
"""Given when the request came, the answer to one more; None where there is room for it."""


class Beginning(NamedTuple):
    """The first bytes of a request."""

    digests: tuple[bytes, ...]
    """Of the head, and of the head and the fields before the first recording, as far as these have come."""
    size: int
    """Bytes of the whole request, where its head has come."""
    goes_on: bool
    """Whether what comes next may add to the digests."""

    @classmethod
    def of(cls, came: bytes) -> "Beginning":
        """There are digests of forms alone."""
        head, end, body = came[:BEGINNING_BYTES].partition(_HEADS_END)
        more = len(came) < BEGINNING_BYTES
        if not end:
            return cls((), 0, more and came.startswith(_METHOD[: len(came)]))
        length, boundary = _LENGTH.search(head), _BOUNDARY.search(head)
        if not (length and boundary):
            return cls((), 0, goes_on=False)
        alike = b"%s%d%s" % (head[: length.start(1)], len(length[1]), head[length.end(1) :])
        alike = alike.replace(boundary[1], b"")
        digests = [hashlib.sha256(alike).digest()]
        if file := _FILE.search(body):
            fields = body[: file.end()].replace(boundary[1], b"")
            digests.append(hashlib.sha256(alike + _HEADS_END + fields).digest())
        size = len(head) + len(end) + int(length[1])
        return cls(tuple(digests), size, goes_on=more and not file and size > len(came))


class Turnstile:
    """What was refused of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[tuple[str, bytes], tuple[float, Again]] = {}
        """By client and beginning: until when it is kept, and what answers one like it. The oldest first."""

    @property
    def busy(self) -> bool:
        """Whether anything was refused of late."""
        now = self._clock()
        while self._refused:
            key = next(iter(self._refused))
            if self._refused[key][0] > now:
                return True
            del self._refused[key]
        return False

    def remember(self, client: str, came: bytes, again: Again) -> None:
        """A request of which no more than this had come was refused."""
        if digests := Beginning.of(came).digests:
            key = (client, digests[-1])
            self._refused.pop(key, None)
            self._refused[key] = (self._clock() + _KEPT_S, again)
            if len(self._refused) > _KEPT:
                del self._refused[next(iter(self._refused))]

    def refuse(self, client: str, beginning: Beginning, started: float) -> bytes | None:
        """What to answer to a request that begins like this; None where it has to be read."""
        for digest in beginning.digests:
            if refused := self._refused.get((client, digest)):
                return refused[1](started)
        return None
