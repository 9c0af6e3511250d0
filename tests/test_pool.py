"""Whose turn it is, and what becomes of a job when its worker dies."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from conftest import changed, fake_worker, scheduler_of, until
from test_worker import job

from whisperd.config.live import Live
from whisperd.config.units import Size
from whisperd.errors import DeviceLost, WorkerDied
from whisperd.lane import Lane
from whisperd.pool import Pool
from whisperd.protocol import Transcribed
from whisperd.transcript.model import Priority

ASKED: Final[list[tuple[str, Priority]]] = [
    ("low", "low"),
    ("normal 1", "normal"),
    ("high 1", "high"),
    ("normal 2", "normal"),
    ("high 2", "high"),
]


async def test_a_job_waits_for_its_slot_and_gets_it_in_the_order_of_coming(live: Live) -> None:
    async with fake_worker(live) as worker:
        pool = Pool([Lane(worker, slots=1)])
        holder = asyncio.create_task(pool.run(job("wait")))
        await until(lambda: pool.running == 1)
        started: list[int] = []
        others = [
            asyncio.create_task(pool.run(job(), started=lambda _, number=number: started.append(number)))  # type: ignore[misc]
            for number in range(3)
        ]
        await until(lambda: pool.waiting == 3)
        holder.cancel()
        await asyncio.gather(*others)
        assert started == [0, 1, 2]
        await until(lambda: pool.running == 0)


async def test_what_somebody_waits_for_goes_before_what_came_earlier(live: Live) -> None:
    async with fake_worker(live) as worker:
        pool = Pool([Lane(worker, slots=1)])
        holder = asyncio.create_task(pool.run(job("wait")))
        await until(lambda: pool.running == 1)
        started: list[str] = []

        async def ask(name: str, priority: Priority) -> None:
            await pool.run(job(), started=lambda _: started.append(name), priority=priority)

        others = []
        for name, priority in ASKED:
            others.append(asyncio.create_task(ask(name, priority)))
            await until(lambda: pool.waiting == len(others))
        holder.cancel()
        await asyncio.gather(*others)
        assert started == ["high 1", "high 2", "normal 1", "normal 2", "low"]


async def test_a_slot_is_free_only_when_the_worker_is_rid_of_the_cancelled_job(live: Live) -> None:
    async with fake_worker(live) as worker:
        pool = Pool([Lane(worker, slots=1)])
        task = asyncio.create_task(pool.run(job("wait")))
        await until(lambda: pool.running == 1 and worker.ready.is_set())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: pool.running == 0)
        assert isinstance(await pool.run(job()), Transcribed)


async def test_a_cancelled_job_leaves_the_queue_at_once(live: Live) -> None:
    async with fake_worker(live) as worker:
        pool = Pool([Lane(worker, slots=1)])
        holder = asyncio.create_task(pool.run(job("wait")))
        await until(lambda: pool.running == 1)
        waiting = asyncio.create_task(pool.run(job()))
        await until(lambda: pool.waiting == 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert pool.waiting == 0
        holder.cancel()
        await asyncio.wait([holder])
        await until(lambda: pool.running == 0)


async def test_a_job_on_a_worker_that_dies_is_done_by_the_next(live: Live, tmp_path: Path) -> None:
    async with fake_worker(live) as worker:
        pool = Pool([Lane(worker, slots=1)])
        result = await pool.run(job("crash-once", tmp_path / "audio.f32"))
        assert isinstance(result, Transcribed)
        assert worker.restarts == 1


async def test_a_job_that_kills_two_workers_is_not_given_a_third(live: Live) -> None:
    async with fake_worker(live) as worker:
        pool = Pool([Lane(worker, slots=1)])
        with pytest.raises(WorkerDied, match="as did the one before"):
            await pool.run(job("crash"))
        assert isinstance(await pool.run(job()), Transcribed)
        assert worker.restarts == 2
        await until(lambda: pool.running == 0)


async def test_a_worker_that_holds_too_much_gets_no_job_before_it_is_started_anew(live: Live) -> None:
    live.current = changed(live.current, "workers", memory_growth=Size("16MiB"))
    async with fake_worker(live) as worker:
        lane = Lane(worker, slots=4)
        pool = Pool([lane])
        scheduler = scheduler_of({"transcribe": lane}, live)
        await worker.ready.wait()
        first = worker.pid
        holder = asyncio.create_task(pool.run(job("wait")))
        await pool.run(job("leak"))
        await until(lambda: worker.swollen)
        late = asyncio.create_task(pool.run(job()))
        await until(lambda: pool.waiting == 1)
        assert pool.running == 1
        holder.cancel()
        await until(lambda: worker.renewing)
        assert not lane.lost
        assert scheduler.unready() is None
        assert isinstance(await late, Transcribed)
        assert worker.pid != first
        assert worker.renewals == 1


async def test_what_lost_its_card_is_done_once_more_by_the_next_one(live: Live, tmp_path: Path) -> None:
    async with fake_worker(live) as worker:
        pool = Pool([Lane(worker, slots=4)])
        await worker.ready.wait()
        assert isinstance(await pool.run(job("lost-card-once", tmp_path / "audio.f32")), Transcribed)
        assert worker.restarts == 1


async def test_a_recording_at_which_two_workers_lose_their_card_is_given_up(live: Live) -> None:
    async with fake_worker(live) as worker:
        pool = Pool([Lane(worker, slots=4)])
        await worker.ready.wait()
        with pytest.raises(DeviceLost, match="as did the one before") as raised:
            await pool.run(job("lost-card"))
        assert raised.value.status == 503
        assert raised.value.retry_after_s
