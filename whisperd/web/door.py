"""Connections before anybody reads their requests: some are refused by their first bytes, and end here.

It takes a quarter of what it costs to have aiohttp begin a connection for them.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Final

from whisperd.web.turnstile import BEGINNING_BYTES, Beginning, Turnstile
from whisperd.web.unread import LINGERING_S

_MOST: Final = 64
"""Connections that are kept here at a time: each takes a descriptor."""
_PATIENCE_S: Final = 0.2
"""For what tells whether a request is like one before. Whoever is slower is served the long way."""
_PIECES: Final = 16
"""Then others have a turn."""

_NOWHERE: Final = bytearray(2**18)
"""As much is thrown away at once; the kernel does not even copy it."""

Enter = Callable[[socket.socket, bytes], None]
"""Serves a connection of which so much has come."""


class Door:
    """Where connections come in while much is refused."""

    def __init__(self, turnstile: Turnstile, enter: Enter) -> None:
        self._turnstile = turnstile
        self._enter = enter
        self._arrivals: set[_Arrival] = set()

    @property
    def watched(self) -> bool:
        """Whether it is worth while to look at who comes."""
        return self._turnstile.busy and len(self._arrivals) < _MOST

    def receive(self, accepted: socket.socket, client: str) -> None:
        """Look at what a client sends first: then it is refused, or enters."""
        _Arrival(accepted, client, self._turnstile, self._enter, self._arrivals).begin()

    def close(self) -> None:
        """Let in who is still looked at, and end the others."""
        for arrival in tuple(self._arrivals):
            arrival.leave()


class _Arrival:
    """One connection."""

    def __init__(
        self,
        accepted: socket.socket,
        client: str,
        turnstile: Turnstile,
        enter: Enter,
        others: "set[_Arrival]",
    ) -> None:
        self._socket = accepted
        self._client = client
        self._turnstile = turnstile
        self._enter = enter
        self._others = others
        self._loop = asyncio.get_running_loop()
        self._started = time.monotonic()
        self._came = b""
        self._left: int | None = None
        """Bytes that a client who was refused still sends; None before."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Often all that matters is there already."""
        if not self._is_over():
            self._wait()

    def leave(self) -> None:
        """Wait no longer."""
        if self._left is None:
            self._go_in()
        else:
            self._end()

    # ---- what comes ------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        """Take what is there; whether no more is awaited here."""
        try:
            return self._look() if self._left is None else self._discard(self._left)
        except BlockingIOError:
            return False
        except OSError:
            return self._end()

    def _look(self) -> bool:
        piece = self._socket.recv(BEGINNING_BYTES)
        if not piece:
            return self._end()
        self._came += piece
        beginning = Beginning.of(self._came)
        if answer := self._turnstile.refuse(self._client, beginning, self._started):
            return self._refuse(answer, beginning.size - len(self._came))
        return not beginning.goes_on and self._go_in()

    def _refuse(self, answer: bytes, left: int) -> bool:
        if self._socket.send(answer) < len(answer):
            return self._end()  # who takes so little in one go takes nothing
        self._left = left
        if self._timer:
            self._wait()
        return self._is_over()

    def _discard(self, left: int) -> bool:
        """A client who is left with bytes that nobody takes would not come to read the answer."""
        for _ in range(_PIECES):
            self._left = left
            taken = left > 0 and self._socket.recv_into(_NOWHERE, 0, socket.MSG_TRUNC)
            if not taken:
                return self._end()
            left -= taken
        self._left = left
        return False

    # ---- waiting, and its end --------------------------------------------------------------------

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
        else:
            self._others.add(self)
            self._loop.add_reader(self._socket, self._is_over)
        self._timer = self._loop.call_later(_PATIENCE_S if self._left is None else LINGERING_S, self.leave)

    def _go_in(self) -> bool:
        self._wait_no_longer()
        self._enter(self._socket, self._came)
        return True

    def _end(self) -> bool:
        self._wait_no_longer()
        self._socket.close()
        return True

    def _wait_no_longer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
            self._loop.remove_reader(self._socket)
            self._others.discard(self)
