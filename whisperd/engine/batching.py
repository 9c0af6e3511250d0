"""The one queue of what all running requests have for the model, and what of it shares a batch."""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar


class Work(Protocol):
    """Something for the model to do."""

    @property
    def key(self) -> Hashable:
        """Works with equal keys can share a batch."""
        ...


W = TypeVar("W", bound=Work)


class Line(Generic[W]):
    """What one request has in the queue, in order; a lower rank comes first."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.works: deque[W] = deque()
        self.left = False


class BatchQueue(Generic[W]):
    """Requests take turns at being the first in a batch, and whose key is the same may come along.

    The lower rank goes first. Within one, who is new comes next, but old and new alternate: a short recording
    waits for one batch of a long one, and the long one gets on however many short ones come.
    """

    def __init__(self, batch_size: int, *, takers: int = 1) -> None:
        self._batch_size = batch_size
        self._takers = takers
        self._changed = threading.Condition()
        self._new: deque[Line[W]] = deque()
        self._old: deque[Line[W]] = deque()
        self._new_is_next = True
        self._closed = False

    def enter(self, rank: int = 0) -> Line[W]:
        """A request's place in the queue."""
        line: Line[W] = Line(rank)
        with self._changed:
            self._new.append(line)
        return line

    def leave(self, line: Line[W]) -> None:
        """Drop all that a request still has."""
        with self._changed:
            line.left = True
            line.works.clear()
            for lines in (self._new, self._old):
                if line in lines:
                    lines.remove(line)

    def put(self, line: Line[W], *works: W) -> None:
        """Behind what the request has; nothing happens if it has left."""
        self._put(line, line.works.extend, works)

    def put_first(self, line: Line[W], *works: W) -> None:
        """Before what the request has: all that comes later waits for it."""
        self._put(line, line.works.extendleft, works[::-1])

    def take(self, patience_s: float | None = None) -> list[W] | None:
        """The next batch; None if there was none for so long. Empty once the queue is closed."""
        with self._changed:
            while not self._closed:
                if (first := self._next()) is not None:
                    return self._batch(first)
                if not self._changed.wait(patience_s):
                    return None
        return []

    def close(self) -> None:
        """Nobody takes anything more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _put(self, line: Line[W], put: Callable[[Iterable[W]], None], works: Iterable[W]) -> None:
        with self._changed:
            if not line.left:
                put(works)
                self._changed.notify()

    def _next(self) -> Line[W] | None:
        """Whose turn it is, of those that have something."""
        rank = min((line.rank for line in self._lines() if line.works), default=0)
        new = next((line for line in self._new if line.works and line.rank == rank), None)
        old = next((line for line in self._old if line.works and line.rank == rank), None)
        line = new if new and (self._new_is_next or not old) else old
        self._new_is_next = line is not new
        return line

    def _batch(self, first: Line[W]) -> list[W]:
        """The first's first work, then what shares its key: one from each line in turn, then over again.

        Those of a higher rank come along only where the lower ones leave room.
        """
        key = first.works[0].key
        lines = [first, *(line for line in self._lines() if line is not first)]
        shares = {line: self._share(line, key) for line in lines}
        batch: list[W] = []
        while len(batch) < self._batch_size and any(shares.values()):
            rank = min(line.rank for line, share in shares.items() if share)
            turns = [line for line, share in shares.items() if share and line.rank == rank]
            for line in turns[: self._batch_size - len(batch)]:
                batch.append(line.works.popleft())
                shares[line] -= 1
                self._served(line)
        return batch

    def _share(self, line: Line[W], key: Hashable) -> int:
        """What one taker may have of a request: as much is left to the others, who would else stand idle.

        Batches of several requests are filled all the same: more come while they are worked on.
        """
        same = sum(1 for _ in itertools.takewhile(lambda work: work.key == key, line.works))
        return -(-same // self._takers)

    def _lines(self) -> Iterator[Line[W]]:
        return itertools.chain(self._new, self._old)

    def _served(self, line: Line[W]) -> None:
        """Its next turn is after everybody else's."""
        (self._new if line in self._new else self._old).remove(line)
        self._old.append(line)
