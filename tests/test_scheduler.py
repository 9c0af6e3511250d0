"""Which workers there are: those that stay, and those that come for a request and go."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest
from conftest import FAKE_COMMAND, changed, fake_setup, fake_worker, scheduler_of, until
from test_worker import job

from whisperd.config.live import Live
from whisperd.config.units import Duration
from whisperd.errors import EngineError, NotEnoughMemory, UnknownModel
from whisperd.lane import Lane
from whisperd.pool import Pool
from whisperd.protocol import Transcribed
from whisperd.scheduler import Role, Scheduler
from whisperd.worker import Worker

GIGABYTE = 10**9


class Agency:
    """Hires workers without a model, on a machine with little memory."""

    def __init__(self, live: Live, memory_bytes: int) -> None:
        self.lanes: dict[str, Lane] = {}
        self._live = live
        self._memory_bytes = memory_bytes

    def hire(self, role: Role) -> Pool:
        assert role.model
        if role.model == "unheard-of":
            raise UnknownModel("no such model")
        worker = Worker(
            role.kind,
            fake_setup(role.kind, role.model),
            live=self._live,
            environment=dict(os.environ),
            command=FAKE_COMMAND,
        )
        self.lanes[role.model] = Lane(worker, 2, resting=True, need_bytes=GIGABYTE)
        return Pool([self.lanes[role.model]])

    async def free_bytes(self, device: str) -> int:
        assert device == "cpu"
        return self._memory_bytes - GIGABYTE * sum(not lane.resting for lane in self.lanes.values())


@contextlib.asynccontextmanager
async def staffed(live: Live, memory_bytes: int = 10 * GIGABYTE) -> AsyncIterator[tuple[Scheduler, Agency]]:
    agency = Agency(live, memory_bytes)
    scheduler = Scheduler({}, live=live, hire=agency.hire, free_bytes=agency.free_bytes)
    async with scheduler.tended():
        yield scheduler, agency


def role(model: str) -> Role:
    return Role("transcribe", model)


async def test_the_scheduler_says_which_worker_is_not_up(live: Live) -> None:
    async with fake_worker(live) as worker:
        scheduler = scheduler_of({"transcribe": Lane(worker, slots=1)}, live)
        assert scheduler.unready() == "the transcribe worker is stopped"
        await worker.ready.wait()
        assert scheduler.unready() is None
        task = asyncio.create_task(scheduler.run(Role("transcribe"), job("crash")))
        await until(lambda: scheduler.unready() is not None)
        task.cancel()
        await asyncio.wait([task])


async def test_a_worker_comes_for_the_first_job_that_names_its_model_and_stays(live: Live) -> None:
    async with staffed(live) as (scheduler, agency):
        assert isinstance(await scheduler.run(role("one"), job()), Transcribed)
        pid = agency.lanes["one"].worker.pid
        assert isinstance(await scheduler.run(role("one"), job()), Transcribed)
        assert agency.lanes["one"].worker.pid == pid is not None
        assert list(agency.lanes) == ["one"]
    assert agency.lanes["one"].worker.pid is None


async def test_an_idle_worker_goes_after_a_while_and_comes_back(live: Live) -> None:
    live.current = changed(live.current, "workers", keep_alive=Duration("1ms"))
    async with staffed(live) as (scheduler, agency):
        await scheduler.run(role("one"), job())
        lane = agency.lanes["one"]
        await until(lambda: lane.idle_s > 0.001)
        await scheduler.end_idle()
        assert (lane.worker.pid, lane.state) == (None, "unloaded")
        assert isinstance(await scheduler.run(role("one"), job()), Transcribed)


async def test_a_worker_with_a_job_does_not_idle(live: Live) -> None:
    live.current = changed(live.current, "workers", keep_alive=Duration("1ms"))
    async with staffed(live) as (scheduler, agency):
        busy = asyncio.create_task(scheduler.run(role("one"), job("wait")))
        await until(lambda: "one" in agency.lanes and agency.lanes["one"].worker.ready.is_set())
        await scheduler.end_idle()
        assert await scheduler.unload("transcribe") == []
        assert agency.lanes["one"].state == "ready"
        busy.cancel()
        await asyncio.wait([busy])


async def test_the_one_that_idled_longest_makes_room(live: Live) -> None:
    async with staffed(live, 2 * GIGABYTE) as (scheduler, agency):
        for model in ("one", "two", "one", "three"):
            await scheduler.run(role(model), job())
        assert {model: lane.state for model, lane in agency.lanes.items()} == {
            "one": "ready",
            "two": "unloaded",
            "three": "ready",
        }


async def test_a_model_that_does_not_fit_beside_those_in_use_is_refused_for_now(live: Live) -> None:
    async with staffed(live, GIGABYTE) as (scheduler, agency):
        busy = asyncio.create_task(scheduler.run(role("one"), job("wait")))
        await until(lambda: "one" in agency.lanes and agency.lanes["one"].worker.ready.is_set())
        with pytest.raises(NotEnoughMemory, match=r"two needs 1\.0 GB of memory, and 0\.0 GB are free"):
            await scheduler.run(role("two"), job())
        busy.cancel()
        await asyncio.wait([busy])
        await until(lambda: agency.lanes["one"].idle)
        assert isinstance(await scheduler.run(role("two"), job()), Transcribed)


async def test_a_model_that_can_not_be_loaded_costs_its_request_alone(live: Live) -> None:
    async with staffed(live) as (scheduler, agency):
        for _ in range(2):
            with pytest.raises(EngineError, match="could not be loaded"):
                await scheduler.run(role("fail-to-load"), job())
            assert agency.lanes["fail-to-load"].state == "unloaded"
        assert isinstance(await scheduler.run(role("one"), job()), Transcribed)


async def test_what_nobody_can_hire_is_told_to_the_caller(live: Live) -> None:
    async with staffed(live) as (scheduler, _):
        with pytest.raises(UnknownModel):
            await scheduler.run(role("unheard-of"), job())


async def test_unloading_ends_the_processes_and_names_their_models(live: Live) -> None:
    async with staffed(live) as (scheduler, agency):
        for model in ("one", "two"):
            await scheduler.run(role(model), job())
        assert await scheduler.unload("diarize") == []
        assert await scheduler.unload("transcribe") == ["one", "two"]
        assert [lane.worker.pid for lane in agency.lanes.values()] == [None, None]
        assert await scheduler.unload("transcribe") == []
