"""Which worker does a job: those that are always there, and those that come when a request names a model.

The latter are started by the first job for them, end when they have idled for `workers.keep_alive`, and
make room for others, the longest idle first, when memory is short.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final, Literal, NamedTuple

from whisperd.config.live import Live
from whisperd.errors import NotEnoughMemory
from whisperd.journal import fields
from whisperd.lane import Lane
from whisperd.protocol import AnyJob, AnyResult, DecodeSetup, Kind
from whisperd.tasks import scoped
from whisperd.transcript.model import Priority
from whisperd.worker import Progress

logger = logging.getLogger(__name__)

_ROUND_S: Final = 1.0
"""Between two looks for lanes that idle."""


class Role(NamedTuple):
    """What a job needs a worker for."""

    kind: Kind
    model: str | None = None
    """None is the one that the daemon was started with."""
    device: Literal["cpu"] | None = None
    """None is the configured one."""


FreeBytes = Callable[[str], Awaitable[int]]
"""Memory that is free on a device: `cpu`, `cuda:0`."""


class Scheduler:
    """The lanes of all workers."""

    def __init__(
        self,
        lanes: dict[Kind, Lane],
        *,
        live: Live,
        hire: Callable[[Role], Lane],
        free_bytes: FreeBytes,
    ) -> None:
        """`hire` makes the lane of a role that has none yet, at rest; it raises what the caller is told."""
        self.lanes = lanes
        self._live = live
        self._hire = hire
        self._free_bytes = free_bytes
        self._hired: dict[Role, Lane] = {}
        self._loading = asyncio.Lock()

    async def run(
        self,
        role: Role,
        job: AnyJob,
        progress: Progress | None = None,
        started: Callable[[], None] | None = None,
        *,
        priority: Priority = "high",
    ) -> AnyResult:
        """Do a job on the worker of its role. See `Lane.run`. Raises NotEnoughMemory where it can't load."""
        lane = self.lane(role)
        if lane.resting:
            await self._make_room(lane)
        return await lane.run(job, progress, started, priority=priority)

    def lane(self, role: Role) -> Lane:
        """The lane of a role. Raises what `hire` raises."""
        if role.model is None and role.device is None:
            return self.lanes[role.kind]
        if role not in self._hired:
            self._hired[role] = self._hire(role)
        return self._hired[role]

    def all_lanes(self) -> Iterator[Lane]:
        """Those that are always there, then the others."""
        yield from self.lanes.values()
        yield from self._hired.values()

    def unready(self) -> str | None:
        """Why a job could not run now; None when each worker that is always there is up, or at rest."""
        for lane in self.lanes.values():
            worker = lane.worker
            if not lane.resting and not worker.ready.is_set():
                reason = f": {worker.message}" if worker.message else ""
                return f"the {worker.kind} worker is {worker.state}{reason}"
        return None

    async def ready(self) -> None:
        """Wait until a job could run."""
        while self.unready():
            for lane in self.lanes.values():
                if not lane.resting:
                    # Not for ever: a worker that is unloaded meanwhile is not awaited any more.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_ROUND_S):
                            await lane.worker.ready.wait()

    # ---- giving memory back ----------------------------------------------------------------------

    async def unload(self, kind: Kind) -> list[str]:
        """End the workers of a kind that nobody needs now; returns their models."""
        lanes = [lane for lane in self.all_lanes() if lane.worker.kind == kind]
        return [_model(lane) for lane in lanes if await lane.rest()]

    async def end_idle(self) -> None:
        """End the workers that came for a request and have idled for too long."""
        for lane in self._hired.values():
            if lane.idle_s > self._live.current.workers.keep_alive and await lane.rest():
                logger.info(
                    "ended the %s worker of %s, which idled",
                    lane.worker.kind,
                    _model(lane),
                    extra=fields(worker=lane.worker.kind, model=_model(lane)),
                )

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """End what idles while the context is open, and all that was hired at its end."""
        try:
            async with scoped(asyncio.create_task(self._tend())):
                yield
        finally:
            await asyncio.gather(*(lane.end() for lane in self._hired.values()))

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_ROUND_S)
            await self.end_idle()

    async def _make_room(self, lane: Lane) -> None:
        """End idle workers on the lane's device until it would fit."""
        device = device_of(lane)
        async with self._loading:
            while lane.resting and (free := await self._free_bytes(device)) < lane.need_bytes:
                idle = [
                    other
                    for other in self._hired.values()
                    if other.idle and not other.resting and other is not lane and device_of(other) == device
                ]
                if not idle and lane in self.lanes.values():
                    return  # what the daemon was started with has fitted once
                if not idle:
                    raise NotEnoughMemory(
                        f"{_model(lane)} needs {lane.need_bytes / 1e9:.1f} GB of memory, "
                        f"and {free / 1e9:.1f} GB are free now"
                    )
                await max(idle, key=lambda other: other.idle_s).rest()


def device_of(lane: Lane) -> str:
    """`cpu`, `cuda:0`."""
    setup = lane.worker.setup
    if isinstance(setup, DecodeSetup) or setup.device == "cpu":
        return "cpu"
    return f"cuda:{setup.device_index}"


def _model(lane: Lane) -> str:
    setup = lane.worker.setup
    return lane.worker.kind if isinstance(setup, DecodeSetup) else setup.model
