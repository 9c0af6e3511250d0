"""Moments of the load that a fault can be aimed at: it should hit more than the long stretches of work."""

import asyncio
from collections import defaultdict
from typing import Final, Literal, get_args

Moment = Literal["a job is being sent", "a job is promised", "a webhook is being taken", "a job has ended"]
MOMENTS: Final[tuple[Moment, ...]] = get_args(Moment)


class Moments:
    """Told of by the load, waited for by the faults."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Moment, list[asyncio.Future[None]]] = defaultdict(list)

    def tell(self, moment: Moment) -> None:
        """It is now."""
        for waiting in self._waiting.pop(moment, []):
            if not waiting.done():
                waiting.set_result(None)

    async def next(self, moment: Moment, timeout_s: float) -> bool:
        """Wait for the next of a kind; whether it came."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[moment].append(waiting)
        done, _ = await asyncio.wait([waiting], timeout=timeout_s)
        return bool(done)
