"""Who is let in, and what the others are told."""

import asyncio
import contextlib
from typing import Any

import pytest
from conftest import changed
from stub_worker import Clock, StubWorker
from test_pool_devices import ask, ended, pool_of, scheduler_over, settled

from whisperd import foresight
from whisperd.admission import Admission
from whisperd.config.live import Live
from whisperd.errors import Draining, NotReady, QueueFull, RateLimited
from whisperd.scheduler import Role

ROLES = (Role("transcribe"),)


@pytest.fixture
def worker(live: Live) -> StubWorker:
    return StubWorker(live)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(live: Live, worker: StubWorker, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Admission:
    """In front of one device of four slots that does 10 s of audio a second, as was always forecast and so is
    believed to the last second.
    """
    monkeypatch.setattr(foresight, "_LEAST", 1.0)
    admission = Admission(live, scheduler_over(pool_of([worker], clock=clock), live), clock=clock)
    admission._foresight._deviation = 0.0
    return admission


async def let_in(admission: Admission, seconds: float, **options: Any) -> None:
    async with admission.admitted(ROLES, **options) as admit:
        admit(seconds)


async def busy(admission: Admission, *seconds: float) -> "list[asyncio.Task[Any]]":
    pool = admission._scheduler.pool(ROLES[0])
    tasks = [ask(pool, each) for each in seconds]
    await settled()
    return tasks


async def test_what_can_not_be_answered_in_time_is_refused_with_the_time_to_try_again(
    admission: Admission,
) -> None:
    tasks = await busy(admission, 1000)
    with pytest.raises(QueueFull, match=r"1000 seconds of audio are to be done before, 10\.0 in") as raised:
        await let_in(admission, 200, deadline_s=30)
    assert raised.value.retry_after_s == 10  # it would take 20 s for those before and 20 s itself
    await let_in(admission, 200, deadline_s=41)
    await ended(*tasks)


async def test_a_third_of_the_time_is_kept(admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # what the fixture has set
    tasks = await busy(admission, 1000)
    with pytest.raises(QueueFull):
        await let_in(admission, 200, deadline_s=59)  # 40 are forecast
    await let_in(admission, 200, deadline_s=61)
    await ended(*tasks)


async def test_a_short_recording_is_let_in_where_a_long_one_comes_too_late(admission: Admission) -> None:
    tasks = await busy(admission, 1000)
    with pytest.raises(QueueFull):
        await let_in(admission, 900, deadline_s=60)
    await let_in(admission, 3, deadline_s=60)
    await ended(*tasks)


async def test_the_time_that_has_gone_by_counts(admission: Admission, clock: Clock) -> None:
    tasks = await busy(admission, 1000)
    async with admission.admitted(ROLES, deadline_s=60) as admit:
        clock.now += 30
        with pytest.raises(QueueFull, match="within 30 seconds"):
            admit(200)
    await ended(*tasks)


async def test_where_nothing_is_to_be_done_before_it_any_recording_is_let_in(admission: Admission) -> None:
    await let_in(admission, 1_000_000, deadline_s=1)


async def test_who_may_come_too_late_is_refused_where_others_came_later_than_expected(
    admission: Admission, clock: Clock
) -> None:
    tasks = await busy(admission, 1000)
    await let_in(admission, 100, deadline_s=25)
    for _ in range(100):
        async with admission.admitted(ROLES, deadline_s=60) as admit:
            admit(100)
            clock.now += 30  # it should take 20
    with pytest.raises(QueueFull, match="within 25 seconds"):
        await let_in(admission, 100, deadline_s=25)
    await let_in(admission, 100, deadline_s=31)
    await ended(*tasks)


async def test_who_was_let_in_is_not_refused_for_having_a_little_less_room_to_spare(
    admission: Admission, clock: Clock
) -> None:
    tasks = await busy(admission, 1000)
    for _ in range(100):
        async with admission.admitted(ROLES, deadline_s=60) as admit:
            admit(100)
            clock.now += 30  # it should take 20
    async with admission.admitted(ROLES, deadline_s=35) as admit:
        clock.now += 10
        with pytest.raises(QueueFull, match="within 25 seconds"):
            admit(101)  # longer than those before: nobody knew whether there was room for it
        admit(100)
        clock.now += 10
        with pytest.raises(QueueFull, match="within 15 seconds"):
            admit(100)
    await ended(*tasks)


async def test_the_configured_time_is_meant_where_none_is_named(admission: Admission, live: Live) -> None:
    tasks = await busy(admission, 1000)
    await let_in(admission, 100)
    live.current = changed(live.current, "limits", wait=type(live.current.limits.wait)("10s"))
    with pytest.raises(QueueFull, match="within 10 seconds"):
        await let_in(admission, 100)
    await ended(*tasks)


async def test_what_comes_after_long_recordings_alone_is_refused_before_it_is_decoded(
    admission: Admission,
) -> None:
    tasks = await busy(admission, 1000)
    for _ in range(32):
        await let_in(admission, 500, deadline_s=200)
    entered = False
    with pytest.raises(QueueFull):
        async with admission.admitted(ROLES, deadline_s=50):
            entered = True
    assert not entered
    await let_in(admission, 2, deadline_s=200)
    await let_in(admission, 2, deadline_s=50)
    await ended(*tasks)


async def test_what_is_not_decoded_yet_counts_as_long_as_what_came_before(admission: Admission) -> None:
    for _ in range(32):
        await let_in(admission, 100)
    async with contextlib.AsyncExitStack() as stack:
        admits = [
            await stack.enter_async_context(admission.admitted(ROLES, deadline_s=45, client="ann"))
            for _ in range(4)
        ]
        with pytest.raises(QueueFull, match="400 seconds of audio are to be done before"):
            await let_in(admission, 100, deadline_s=45, client="ann")
        admits[0](100)
        await let_in(admission, 100, deadline_s=45, client="ann")
    await let_in(admission, 100, deadline_s=11, client="ann")


async def test_of_what_others_sent_as_much_as_their_share_counts_before_it_is_decoded(
    admission: Admission,
) -> None:
    for _ in range(32):
        await let_in(admission, 100)
    async with contextlib.AsyncExitStack() as stack:
        for client in ["ann"] * 4 + ["bob"]:
            await stack.enter_async_context(admission.admitted(ROLES, deadline_s=100, client=client))
        with pytest.raises(QueueFull, match="500 seconds of audio are to be done before"):
            await let_in(admission, 100, deadline_s=59, client="eve", priority="low")
        late = admission.admitted(ROLES, deadline_s=61, client="eve", priority="low")
        await stack.enter_async_context(late)
        await let_in(admission, 100, deadline_s=31, client="cid")
        with pytest.raises(QueueFull, match="200 seconds of audio are to be done before"):
            await let_in(admission, 100, deadline_s=29, client="cid")
        with pytest.raises(QueueFull, match="300 seconds of audio are to be done before"):
            await let_in(admission, 100, deadline_s=29, client="bob")


async def test_whether_a_request_would_be_refused_can_be_asked_before(
    admission: Admission, live: Live
) -> None:
    live.current = changed(live.current, "limits", waiting=1)
    tasks = await busy(admission, 1000)
    admission.check(ROLES, deadline_s=101)
    for _ in range(32):
        await let_in(admission, 500, deadline_s=200)
    with pytest.raises(QueueFull, match="no answer would be there within 99 seconds"):
        admission.check(ROLES, deadline_s=99)
    admission.check(deadline_s=99)
    assert admission.active == 0
    async with contextlib.AsyncExitStack() as stack:
        for client in ("ann", "bob", "cid", "dan", "eve"):
            await stack.enter_async_context(admission.admitted(ROLES, client=client, deadline_s=1000))
        with pytest.raises(QueueFull, match="the limit is 1"):
            admission.check()
    admission.draining = True
    with pytest.raises(Draining):
        admission.check()
    await ended(*tasks)


async def test_a_patient_request_is_let_in_whatever_there_is_to_do(admission: Admission, live: Live) -> None:
    live.current = changed(live.current, "limits", waiting=1)
    tasks = await busy(admission, 100_000)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            admit = await stack.enter_async_context(admission.admitted(ROLES, patient=True, client="ann"))
            admit(1000)
    await ended(*tasks)


async def test_one_client_leaves_room_for_others(admission: Admission, live: Live) -> None:
    live.current = changed(live.current, "limits", waiting=16)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(16):
            await stack.enter_async_context(admission.admitted(ROLES, client="ann"))
        with pytest.raises(RateLimited, match="16 of your requests are not answered yet") as raised:
            await let_in(admission, 1, client="ann")
        assert raised.value.retry_after_s == 1
        for client in ("bob", "cid", "dan", "eve"):
            await stack.enter_async_context(admission.admitted(ROLES, client=client))
        with pytest.raises(QueueFull, match="16 requests are waiting already; the limit is 16"):
            await let_in(admission, 1, client="fay")
    await let_in(admission, 1, client="ann")
    assert admission.active == 0


async def test_a_full_queue_tells_when_one_of_those_before_will_be_done(
    admission: Admission, live: Live
) -> None:
    live.current = changed(live.current, "limits", waiting=1)
    tasks = await busy(admission, 300, 300, 300)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(admission.admitted(ROLES))
        with pytest.raises(QueueFull) as raised:
            await let_in(admission, 1)
    assert raised.value.retry_after_s == 30
    await ended(*tasks)


async def test_nobody_is_let_in_while_no_device_works(admission: Admission, worker: StubWorker) -> None:
    worker.die()
    with pytest.raises(NotReady, match="on cuda:0 is restarting"):
        await let_in(admission, 1)
