"""Which workers do a job: those that are always there, and those that come when a request names a model.

The latter are started by the first job for them, end when they have idled for `workers.keep_alive`, and
make room for others, the longest idle first, when memory is short.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from whisperd.config.live import Live
from whisperd.errors import NotEnoughMemory, StartError
from whisperd.journal import fields
from whisperd.lane import Lane
from whisperd.life import Progress
from whisperd.pool import Pool
from whisperd.protocol import AnyJob, AnyResult, DecodeSetup, Kind
from whisperd.tasks import scoped
from whisperd.transcript.model import Notice, Priority

logger = logging.getLogger(__name__)

_ROUND_S: Final = 1.0
"""Between two looks for lanes that idle."""


class Role(NamedTuple):
    """What a job needs a worker for."""

    kind: Kind
    model: str | None = None
    """None is the one that the daemon was started with."""
    device: Literal["cpu"] | None = None
    """None is the configured ones."""


FreeBytes = Callable[[str], Awaitable[int]]
"""Memory that is free on a device: `cpu`, `cuda:0`."""


class Scheduler:
    """The workers for all jobs."""

    def __init__(
        self,
        pools: Mapping[Kind, Pool],
        *,
        live: Live,
        hire: Callable[[Role], Pool],
        free_bytes: FreeBytes,
    ) -> None:
        """`hire` makes the pool of a role that has none yet, at rest; it raises what the caller is told."""
        self._pools = dict(pools)
        self._live = live
        self._hire = hire
        self._free_bytes = free_bytes
        self._hired: dict[Role, Pool] = {}
        self._loading = asyncio.Lock()

    async def run(
        self,
        role: Role,
        job: AnyJob,
        progress: Progress | None = None,
        started: Callable[[Lane], None] | None = None,
        *,
        priority: Priority = "high",
        client: str = "",
    ) -> AnyResult:
        """Do a job on a worker of its role. See `Pool.run`. Raises NotEnoughMemory where it can't load."""
        return await self.pool(role).run(
            job, progress, started, priority=priority, client=client, make_room=self._make_room
        )

    def pool(self, role: Role) -> Pool:
        """The workers of a role. Raises what `hire` raises."""
        if role.model is None and role.device is None:
            return self._pools[role.kind]
        if role not in self._hired:
            try:
                self._hired[role] = self._hire(role)
            except StartError as error:
                told = fields(worker=role.kind, model=role.model, code=error.code)
                logger.error("%s", error.message, extra=told)  # noqa: TRY400 - it says all there is
                raise
        return self._hired[role]

    def pools(self) -> Iterator[Pool]:
        """Those that are always there, then the others."""
        yield from self._pools.values()
        yield from self._hired.values()

    def lasting_lanes(self) -> list[Lane]:
        """The lanes that are always there."""
        return [lane for pool in self._pools.values() for lane in pool.lanes]

    def all_lanes(self) -> Iterator[Lane]:
        """These, then the others."""
        for pool in self.pools():
            yield from pool.lanes

    def unready(self) -> str | None:
        """Why a job could not run now; None when of those that are always there one of each kind is up, at
        rest, or just being started anew.
        """
        for pool in self._pools.values():
            if not any(lane.resting or lane.up or lane.worker.renewing for lane in pool.lanes):
                worker = pool.lanes[0].worker
                reason = f": {worker.message}" if worker.message else ""
                return f"the {worker.name} is {worker.state}{reason}"
        return None

    def lost(self) -> Iterator[Notice]:
        """Devices whose work others do, because their workers died and are not back."""
        for pool in self._pools.values():
            others = [lane.worker.device or "" for lane in pool.lanes if not lane.lost]
            for worker in (lane.worker for lane in pool.lanes if lane.lost and others):
                reason = f": it {worker.message}" if worker.message else ""
                yield Notice(
                    "device_lost",
                    f"the {worker.name} is {worker.state}{reason}; {', '.join(others)} does its work",
                )

    async def ready(self) -> None:
        """Wait until a job could run."""
        while self.unready():
            down = [lane.worker for lane in self.lasting_lanes() if not (lane.up or lane.resting)]
            waits = [asyncio.ensure_future(worker.ready.wait()) for worker in down]
            async with scoped(*waits):
                # Not for ever: a worker that is unloaded meanwhile is not awaited any more.
                await asyncio.wait(waits, timeout=_ROUND_S, return_when=asyncio.FIRST_COMPLETED)

    # ---- giving memory back ----------------------------------------------------------------------

    async def unload(self, kind: Kind) -> list[str]:
        """End the workers of a kind that nobody needs now; returns their models."""
        lanes = [lane for lane in self.all_lanes() if lane.worker.kind == kind]
        return [_model(lane) for lane in lanes if await lane.rest()]

    async def end_idle(self) -> None:
        """End the workers that came for a request and have idled for too long."""
        for lane in self._hired_lanes():
            if lane.idle_s > self._live.current.workers.keep_alive and await lane.rest():
                logger.info(
                    "ended the %s of %s, which idled",
                    lane.worker.name,
                    _model(lane),
                    extra=fields(worker=lane.worker.kind, device=lane.worker.device, model=_model(lane)),
                )

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """End what idles while the context is open, and all that was hired at its end."""
        try:
            async with scoped(asyncio.create_task(self._tend())):
                yield
        finally:
            await asyncio.gather(*(lane.end() for lane in self._hired_lanes()))

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_ROUND_S)
            await self.end_idle()

    async def _make_room(self, lane: Lane) -> None:
        """End idle workers on the lane's device until it would fit."""
        device = lane.worker.device or "cpu"
        async with self._loading:
            while lane.resting and (free := await self._free_bytes(device)) < lane.need_bytes:
                idle = [
                    other
                    for other in self._hired_lanes()
                    if other.idle and not other.resting and other is not lane and _shares(other, lane)
                ]
                if not idle and lane in self.lasting_lanes():
                    return  # what the daemon was started with has fitted once
                if not idle:
                    raise NotEnoughMemory(
                        f"{_model(lane)} needs {lane.need_bytes / 1e9:.1f} GB of memory, "
                        f"and {free / 1e9:.1f} GB are free now"
                    )
                await max(idle, key=lambda other: other.idle_s).rest()

    def _hired_lanes(self) -> list[Lane]:
        return [lane for pool in self._hired.values() for lane in pool.lanes]


def _shares(one: Lane, other: Lane) -> bool:
    return one.worker.device == other.worker.device


def _model(lane: Lane) -> str:
    setup = lane.worker.setup
    return lane.worker.kind if isinstance(setup, DecodeSetup) else setup.model
