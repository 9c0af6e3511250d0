"""How many requests a key may send: those of the last minute are counted, exactly."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

WINDOW_S: Final = 60.0


class Quota(Struct, frozen=True, kw_only=True):
    """What is left to a key after a request."""

    granted: bool
    """Whether the request is one of those that it may send."""
    limit: int
    """Requests a minute, without the burst."""
    remaining: int
    """So many more may come now, of `limit`."""
    reset_at: int
    """When the oldest of the requests that count no longer does; Unix time, in whole seconds."""
    retry_after_s: int
    """Until then."""


class Limits:
    """The requests of the last minute, by key. A request that is refused does not count."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._now = now
        self._sent: dict[str, deque[float]] = {}
        """When each of the requests that count was sent, oldest first."""

    def spend(self, key_id: str, limit: int, burst: int) -> Quota:
        """Count a request, if it is one of `limit` + `burst` within a minute."""
        now = self._clock()
        sent = self._sent.setdefault(key_id, deque())
        while sent and sent[0] <= now - WINDOW_S:
            sent.popleft()
        granted = len(sent) < limit + burst
        if granted:
            sent.append(now)
        wait_s = sent[0] + WINDOW_S - now
        return Quota(
            granted=granted,
            limit=limit,
            remaining=max(0, min(limit, limit + burst - len(sent))),
            reset_at=math.ceil(self._now() + wait_s),
            retry_after_s=max(1, math.ceil(wait_s)),
        )

    def forget(self) -> None:
        """Let go of the keys that sent nothing within the last minute."""
        since = self._clock() - WINDOW_S
        for key_id in [key_id for key_id, sent in self._sent.items() if not sent or sent[-1] <= since]:
            del self._sent[key_id]
