"""Which device does a job, what is measured of it, and who does the work of one that is lost."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import until
from msgspec.structs import replace
from stub_worker import Clock, StubWorker
from test_worker import job

from whisperd.config.live import Live
from whisperd.errors import NotEnoughMemory, WorkerDied
from whisperd.lane import Lane
from whisperd.pool import Pool
from whisperd.protocol import SAMPLE_RATE_HZ, Transcribed
from whisperd.scheduler import Scheduler


def pool_of(workers: Sequence[StubWorker], speeds: Sequence[float] = (), **options: Any) -> Pool:
    """One that takes four recordings at once on each device, where time stands still."""
    options = {"clock": Clock()} | options
    speeds = speeds or [10.0] * len(workers)
    return Pool(
        [Lane(worker, 4, speed=speed, **options) for worker, speed in zip(workers, speeds, strict=True)]
    )


def ask(pool: Pool, seconds: float, **options: Any) -> "asyncio.Task[Any]":
    asked = replace(job(), samples=int(seconds * SAMPLE_RATE_HZ))
    return asyncio.create_task(pool.run(asked, **options))


def loads(pool: Pool) -> list[list[float]]:
    """What each device has in its hands."""
    return [sorted(work.seconds for work in lane.holds) for lane in pool.lanes]


async def settled() -> None:
    """Let everything go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def ended(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_recording_goes_to_the_device_with_the_least_audio_to_do(live: Live) -> None:
    pool = pool_of([StubWorker(live, 0), StubWorker(live, 1)])
    tasks = []
    for seconds in (100, 10, 20, 60, 5):
        tasks.append(ask(pool, seconds))
        await settled()
    assert loads(pool) == [[100], [5, 10, 20, 60]]
    assert pool.work_s == 195
    await ended(*tasks)


async def test_a_device_that_is_faster_gets_more(live: Live) -> None:
    pool = pool_of([StubWorker(live, 0), StubWorker(live, 1)], speeds=(10, 40))
    tasks = []
    for _ in range(5):
        tasks.append(ask(pool, 30))
        await settled()
    assert [len(load) for load in loads(pool)] == [1, 4]
    assert pool.speed == 50
    await ended(*tasks)


async def test_what_is_done_of_a_recording_is_no_longer_to_do(live: Live) -> None:
    worker = StubWorker(live)
    pool = pool_of([worker])
    task = ask(pool, 100)
    await settled()
    worker.tell(75)
    assert pool.work_s == 25
    worker.finish()
    assert isinstance(await task, Transcribed)
    await until(lambda: pool.running == 0)
    assert pool.work_s == 0


async def test_speed_is_measured_while_there_is_work(live: Live) -> None:
    clock, worker = Clock(), StubWorker(live)
    pool = pool_of([worker], clock=clock)
    clock.now += 1000  # idle: that says nothing
    for _ in range(20):
        task = ask(pool, 120)
        await settled()
        clock.now += 2
        worker.tell(60)
        clock.now += 2
        worker.finish()
        await task
        await settled()
        clock.now += 50
    assert pool.speed == pytest.approx(30, rel=0.05)


async def test_work_of_a_lost_device_is_done_by_another(live: Live) -> None:
    lost, other = StubWorker(live, 0), StubWorker(live, 1)
    pool = pool_of([lost, other])
    devices: list[str | None] = []
    task = ask(pool, 30, started=lambda lane: devices.append(lane.worker.device))
    await settled()
    lost.die()
    await settled()
    assert loads(pool) == [[], [30]]
    late = ask(pool, 300)
    await settled()
    assert loads(pool) == [[], [30, 300]]
    assert pool.speed == 10
    other.finish()
    assert isinstance(await task, Transcribed)
    assert devices == ["cuda:0", "cuda:1"]
    await ended(late)


async def test_who_waits_behind_a_lost_device_gets_the_one_that_comes_back_first(live: Live) -> None:
    workers = [StubWorker(live, 0), StubWorker(live, 1)]
    for worker in workers:
        worker.die()
    pool = pool_of(workers)
    task = ask(pool, 30)
    await settled()
    assert loads(pool) == [[30], []]
    workers[1].live()
    await until(lambda: bool(workers[1].calls))
    assert loads(pool) == [[], [30]]
    workers[1].finish()
    assert isinstance(await task, Transcribed)


async def test_a_recording_that_two_devices_died_of_is_not_given_to_a_third(live: Live) -> None:
    workers = [StubWorker(live, number) for number in range(3)]
    pool = pool_of(workers)
    task = ask(pool, 30)
    for worker in workers[:2]:
        await settled()
        worker.die()
    with pytest.raises(WorkerDied, match="on cuda:1 was killed by SIGKILL, as did the one before"):
        await task
    await settled()
    assert loads(pool) == [[], [], []]


async def test_a_model_is_loaded_on_a_further_device_only_when_that_is_worth_it(live: Live) -> None:
    workers = [StubWorker(live, 0), StubWorker(live, 1, up=False)]
    pool = pool_of(workers)
    pool.lanes[1].resting = True
    tasks = [ask(pool, 50)]
    await settled()
    tasks.append(ask(pool, 60))  # 5 s of work are before it: loading takes longer
    await settled()
    assert loads(pool) == [[50, 60], []]
    tasks.append(ask(pool, 70, make_room=_refuse))
    await settled()
    assert loads(pool) == [[50, 60, 70], []]  # no room there: then here
    await ended(*tasks)


async def _refuse(lane: Lane) -> None:
    raise NotEnoughMemory(f"no room on {lane.worker.device}")


async def test_where_no_device_has_room_the_caller_is_told(live: Live) -> None:
    pool = pool_of([StubWorker(live, number, up=False) for number in range(2)], resting=True)
    with pytest.raises(NotEnoughMemory, match="no room on cuda:1"):
        await ask(pool, 30, make_room=_refuse)
    assert loads(pool) == [[], []]


async def test_jobs_that_nobody_waits_for_leave_half_of_the_slots(live: Live) -> None:
    pool = pool_of([StubWorker(live)])
    jobs = [ask(pool, 60, priority="normal", client="ann") for _ in range(4)]
    await settled()
    assert (pool.running, pool.waiting) == (2, 2)
    clip = ask(pool, 3, client="bob")
    await settled()
    assert (pool.running, pool.waiting) == (3, 2)
    await ended(clip, *jobs)


async def test_the_answers_time_is_told_by_what_is_before_it(live: Live) -> None:
    pool = pool_of([StubWorker(live)])
    assert pool.answer_s(100) == 10
    tasks = [ask(pool, 1000, client="ann") for _ in range(2)]
    await settled()
    assert pool.answer_s(3) == pytest.approx((3 + 3 + 3) / 10)  # they share the worker
    assert pool.answer_s(2000) == pytest.approx((1000 + 1000 + 2000) / 10)
    tasks += [ask(pool, 500, client=client) for client in ("ann", "bob", "cid", "dan")]
    await settled()
    assert (pool.running, pool.waiting) == (4, 2)
    # All slots are taken, for as long as the shortest of them takes; what waits before it goes first.
    assert pool.answer_s(3, client="eve") > 4 * 500 / 10
    await ended(*tasks)


async def test_a_lost_device_is_told_of_while_others_work(live: Live) -> None:
    workers = [StubWorker(live, number) for number in range(2)]
    scheduler = scheduler_over(pool_of(workers), live)
    assert list(scheduler.lost()) == []
    workers[1].die()
    assert scheduler.unready() is None
    (notice,) = scheduler.lost()
    assert notice.code == "device_lost"
    assert notice.message == (
        "the transcribe worker on cuda:1 is restarting: it was killed by SIGKILL; cuda:0 does its work"
    )
    workers[0].die()
    assert scheduler.unready() == "the transcribe worker on cuda:0 is restarting: was killed by SIGKILL"
    assert list(scheduler.lost()) == []


def scheduler_over(pool: Pool, live: Live) -> Scheduler:
    async def free_bytes(_: str) -> int:
        return 2**40

    def hire(_: object) -> Pool:
        raise AssertionError

    return Scheduler({"transcribe": pool}, live=live, hire=hire, free_bytes=free_bytes)
