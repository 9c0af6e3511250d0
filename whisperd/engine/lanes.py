"""Lanes: threads that work side by side, each on one piece at a time.

torch's own threads share each operation out and wait for each other after it. Networks as small as those of
a diarization are done sooner by lanes of one thread each, which wait for nobody.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Piece], Result], pieces: Iterable[Piece], lanes: int) -> Generator[Result]:
    """What `work` makes of each piece, in the order of the pieces.

    Pieces are taken as lanes become free, one ahead. Who stops asking, or gets an exception of `work`, waits
    for the pieces that are in the lanes, and no other is begun.
    """
    if lanes == 1:
        yield from map(work, pieces)
        return
    with ThreadPoolExecutor(lanes, thread_name_prefix="lane") as pool:
        begun: deque[Future[Result]] = deque()
        try:
            for piece in pieces:
                begun.append(pool.submit(work, piece))
                if len(begun) > lanes:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()
