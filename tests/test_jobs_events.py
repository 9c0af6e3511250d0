"""Events of a job: in order, from anywhere on, and never more than the reader asks for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import changed, until
from fake_service import SPOKEN
from working import OWNER, Office, office, utc_now

from whisperd.config.live import Live
from whisperd.errors import EngineError, MediaError
from whisperd.jobs.events import events, has_seen_all
from whisperd.jobs.model import Job, JobEvent, Work
from whisperd.transcript.model import Segment

# A job that was uploaded: kept (1), taken (2), completed (3).
QUEUED, TAKEN, ENDED = "1", "2", "3"


@contextlib.asynccontextmanager
async def following(it: Office, job: Job, after: str | None = None) -> AsyncIterator[AsyncIterator[JobEvent]]:
    async with contextlib.aclosing(it.desk.events(job.id, OWNER, after)) as stream:
        yield stream


async def all_of(it: Office, job: Job, after: str | None = None) -> list[JobEvent]:
    async with following(it, job, after) as stream:
        return [event async for event in stream]


def told(told: list[JobEvent]) -> list[tuple[str, str, Any]]:
    """Without progress, which is nobody's promise."""
    return [
        (event.id, event.kind, event.segment.text if event.segment else event.job.status)
        for event in told
        if event.kind != "progress"
    ]


FIRST = ("2.0", "segment", " Hello world.")
SECOND = ("2.1", "segment", " Good-bye.")
END = (ENDED, "status", "completed")


async def test_who_follows_from_the_start_is_told_all_in_order(live: Live) -> None:
    async with office(live, tended=False) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        async with following(it, job) as stream:
            heard = [await anext(stream)]
            async with it.desk.tended():
                await until(lambda: len(it.desk.partial(job.id)) == 2)
                it.service.may_answer.set()
                await it.over(job)
                heard += [event async for event in stream]
    # What happened while nobody read is not told; the end is.
    assert told(heard) == [(QUEUED, "status", "queued"), FIRST, SECOND, END]
    assert not heard[-1].job.progress


async def test_who_comes_late_gets_the_present_status_and_what_was_heard(live: Live) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await until(lambda: len(it.desk.partial(job.id)) == 2)
        async with following(it, job) as stream:
            heard = [await anext(stream) for _ in range(4)]
            it.service.may_answer.set()
            heard += [event async for event in stream]
    assert told(heard) == [(TAKEN, "status", "processing"), FIRST, SECOND, END]
    assert [event.kind for event in heard] == ["status", "segment", "segment", "progress", "status"]
    assert heard[3].id == "2.1", "who resumes there misses nothing"
    assert heard[3].job.progress
    assert heard[3].job.progress.position_s == 5.0


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (None, [FIRST, SECOND, END]),
        (QUEUED, [FIRST, SECOND, END]),
        (TAKEN, [FIRST, SECOND, END]),
        ("2.0", [SECOND, END]),
        ("2.1", [END]),
        ("1.7", [FIRST, SECOND, END]),  # of an attempt that was interrupted
        (ENDED, []),
        ("99", [FIRST, SECOND, END]),  # of another job
        ("2.0.0", [FIRST, SECOND, END]),
        ("-1", [FIRST, SECOND, END]),
        ("\u0662", [FIRST, SECOND, END]),
        ("", [FIRST, SECOND, END]),
    ],
)
async def test_who_comes_back_after_the_end_gets_the_rest(
    live: Live, after: str | None, expected: list[tuple[str, str, Any]]
) -> None:
    async with office(live) as it:
        job = await it.hand_in()
        await it.over(job)
        assert told(await all_of(it, job, after)) == expected
    async with office(live, tended=False) as restarted:
        assert told(await all_of(restarted, job, after)) == expected
        assert has_seen_all(await restarted.desk.job(job.id, OWNER), after) == (not expected)
        await restarted.store.forget_audio(job.id)
        assert told(await all_of(restarted, job, after)) == expected
        assert has_seen_all(await restarted.desk.job(job.id, OWNER), after) == (not expected)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (None, [FIRST, SECOND]),
        (TAKEN, [FIRST, SECOND]),
        ("2.0", [SECOND]),
        ("2.1", []),
    ],
)
async def test_who_comes_back_while_it_runs_gets_the_rest(
    live: Live, after: str | None, expected: list[tuple[str, str, Any]]
) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await until(lambda: len(it.desk.partial(job.id)) == 2)
        async with following(it, job, after) as stream:
            heard = []
            while (event := await anext(stream)).kind != "progress":
                heard.append(event)
            assert event.id == (heard[-1].id if heard else after)
    present = [] if after else [(TAKEN, "status", "processing")]
    assert told(heard) == present + expected


async def test_with_speakers_who_comes_after_the_end_gets_the_segments_that_name_them(live: Live) -> None:
    async with office(live) as it:
        it.service.answer = SPOKEN
        job = await it.hand_in(work=Work(speakers=True))
        await it.over(job)
        await until(lambda: not it.desk._board._sheets)
        for after in (None, TAKEN, "2.0", "2.1"):
            heard = await all_of(it, job, after)
            assert [event.id for event in heard] == ["3.0", "3.1", "3"]
            assert heard[0].segment
            assert heard[0].segment.speaker == "SPEAKER_01"
        assert [event.id for event in await all_of(it, job, "3.0")] == ["3.1", "3"]
        assert await all_of(it, job, "3") == []


async def test_another_attempt_begins_anew(live: Live) -> None:
    live.current = changed(live.current, "jobs", attempts=1000)
    async with office(live, first_pause_s=0) as it:
        it.service.late_error = EngineError("once")
        it.service.may_answer.clear()
        job = await it.hand_in()
        async with following(it, job, QUEUED) as stream:
            heard = [await anext(stream) for _ in range(4)]
            it.service.may_answer.set()
            await it.when(job, lambda kept: kept.causes)
            it.service.late_error = None
            heard += [event async for event in stream]
    segments = [event.id for event in heard if event.kind == "segment"]
    # The attempts in between are those that failed until `late_error` was taken away.
    last = segments[-1].split(".")[0]
    assert segments[:2] == ["2.0", "2.1"]
    assert segments[-2:] == [f"{last}.0", f"{last}.1"]
    assert heard[-1].job.status == "completed"
    assert heard[-1].id == str(int(last) + 1)
    positions = [tuple(map(int, event.id.split("."))) for event in heard if event.kind != "progress"]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize(
    ("end", "expected"), [("cancel", ["cancelled"]), ("delete", []), ("fail", ["failed"])]
)
async def test_events_end_however_the_job_does(live: Live, end: str, expected: list[str]) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        it.service.late_error = MediaError("cut off")
        job = await it.hand_in()
        await until(lambda: len(it.desk.partial(job.id)) == 2)
        reading = asyncio.create_task(all_of(it, job, "2.0"))
        await until(lambda: it.desk._board._sheets[job.id].holders == 2)
        match end:
            case "cancel":
                await it.desk.cancel(job.id, OWNER)
            case "delete":
                await it.desk.delete(job.id, OWNER)
            case _:
                it.service.may_answer.set()
        heard = await reading
    assert [event.job.status for event in heard if event.kind == "status"] == expected
    assert told(heard)[:1] == [SECOND]


async def test_events_end_when_the_daemon_stops(live: Live) -> None:
    async with office(live, tended=False) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        async with it.desk.tended():
            await until(lambda: it.service.running == 1)
            reading = asyncio.create_task(all_of(it, job))
            await until(lambda: it.desk._board._sheets[job.id].holders == 2)
        assert "completed" not in {event.job.status for event in await reading}
        assert not it.desk._board._sheets


async def test_progress_comes_at_most_once_a_second(live: Live) -> None:
    time_s = 0.0
    async with office(live, tended=False) as it:
        job = await it.hand_in()
        claimed = await it.store.claim(at=utc_now())
        assert claimed
        board = it.desk._board
        with board.attempt(claimed) as hearing:
            hearing.begin(claimed)
            hearing.decoded(100.0)
            stream = events(it.store, board, job.id, OWNER, TAKEN, clock=lambda: time_s)
            assert (await anext(stream)).kind == "progress"
            positions = []
            for due_s in (1.0, 2.0, 3.5):
                reading = asyncio.ensure_future(anext(stream))
                time_s += 0.9
                for tenth in range(9):
                    hearing.moved(10 * time_s + tenth / 10)
                    await asyncio.sleep(0)
                assert not reading.done(), "the second is not over"
                time_s = due_s
                hearing.moved(10 * time_s)
                event = await reading
                assert event.job.progress
                positions.append(event.job.progress.position_s)
    assert positions == [10.0, 20.0, 35.0]


async def test_a_slow_reader_holds_up_nobody_and_is_told_the_latest(live: Live) -> None:
    async with office(live, tended=False) as it:
        job = await it.hand_in()
        claimed = await it.store.claim(at=utc_now())
        assert claimed
        with it.desk._board.attempt(claimed) as hearing:
            hearing.begin(claimed)
            hearing.decoded(1000.0)
            async with following(it, job) as stream:
                assert (await anext(stream)).kind == "status"
                for number in range(1000):
                    hearing.heard(Segment(id=number, start=number, end=number + 1, text=f" {number}"))
                    hearing.moved(number)
                heard = [await anext(stream) for _ in range(1001)]
    assert [event.id for event in heard[:-1]] == [f"2.{number}" for number in range(1000)]
    progress = heard[-1].job.progress
    assert progress
    assert progress.position_s == 999, "one event of progress, however many there were"


async def test_many_may_watch_one_job(live: Live) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await until(lambda: len(it.desk.partial(job.id)) == 2)
        reading = [asyncio.create_task(all_of(it, job, after)) for after in (None, TAKEN, "2.0") * 10]
        await until(lambda: it.desk._board._sheets[job.id].holders == 31)
        it.service.may_answer.set()
        heard = [told(events) for events in await asyncio.gather(*reading)]
        assert not it.desk._board._sheets
    assert heard[:3] == [
        [(TAKEN, "status", "processing"), FIRST, SECOND, END],
        [FIRST, SECOND, END],
        [SECOND, END],
    ]
    assert heard == heard[:3] * 10


async def test_a_job_that_failed_has_no_segments_for_those_who_come_later(live: Live) -> None:
    async with office(live) as it:
        it.service.late_error = MediaError("cut off")
        job = await it.over(await it.hand_in(), "failed")
        await until(lambda: not it.desk._board._sheets)
        assert (
            told(await all_of(it, job)) == told(await all_of(it, job, "2.0")) == [(ENDED, "status", "failed")]
        )
