"""What goes after a job's end, and when: by the clock, and when the disk is short."""

import datetime
from pathlib import Path

import pytest
from fake_service import TRANSCRIPT
from working import AUDIO, OWNER, Office, office, utc_now, with_jobs

from whisperd.config.live import Live
from whisperd.config.units import Duration, Size
from whisperd.errors import Unavailable, UnknownJob
from whisperd.jobs.desk import Desk
from whisperd.jobs.model import Attempt, Job
from whisperd.jobs.retention import Room

HOUR = datetime.timedelta(hours=1)


class Clock:
    """A time of day that a test sets."""

    def __init__(self) -> None:
        self.at = utc_now()

    def __call__(self) -> datetime.datetime:
        return self.at


async def finished(it: Office, clock: Clock, count: int = 1) -> list[Job]:
    """Jobs that end a second after one another, the first one first; their recordings differ."""
    jobs = []
    for number in range(count):
        clock.at += datetime.timedelta(seconds=1)
        job = await it.hand_in(bytes([number]) * 100, created_at=clock.at)
        claimed = await it.store.claim(at=clock.at)
        assert claimed
        assert await it.store.complete(job.id, claimed.attempts, TRANSCRIPT, at=clock.at)
        jobs.append(job)
    return jobs


async def run_round(desk: Desk) -> None:
    await desk._retention.round()


def disk_of(it: Office, live: Live, room: int) -> None:
    """A disk that has room for so many recordings more than those that are kept now."""
    kept = len(it.kept())
    reserve = live.current.jobs.disk_reserve

    class Full:
        @property
        def free(self) -> int:
            return reserve + (room - len(it.kept()) + kept - 1) * 100

    def usage(_: Path) -> Room:
        return Full()

    it.desk._retention._disk_usage = usage


async def test_a_recording_goes_first_and_its_job_later(live: Live) -> None:
    live, clock = with_jobs(live, keep_audio=Duration("1h"), keep_results=Duration("2h")), Clock()
    async with office(live, tended=False, now=clock) as it:
        [job] = await finished(it, clock)
        clock.at += HOUR - datetime.timedelta(seconds=1)
        await run_round(it.desk)
        assert len(it.kept()) == 1
        clock.at += datetime.timedelta(seconds=2)
        await run_round(it.desk)
        assert it.kept() == []
        kept = await it.desk.job(job.id, OWNER)
        assert (kept.source.digest, kept.source.filename) == (None, "talk.wav")
        assert await it.desk.transcript(job.id, OWNER) == TRANSCRIPT
        clock.at += HOUR
        await run_round(it.desk)
        with pytest.raises(UnknownJob):
            await it.desk.job(job.id, OWNER)
        assert await it.store.transcript(job.id) is None


async def test_what_has_not_ended_is_kept_however_old(live: Live) -> None:
    live, clock = with_jobs(live, keep_audio=Duration("0"), keep_results=Duration("1s")), Clock()
    async with office(live, tended=False, now=clock) as it:
        waiting, running = await it.hand_in(), await it.hand_in(priority="high")
        assert await it.store.claim(at=clock.at)
        it.disk.free = 0
        clock.at += 1000 * HOUR
        await run_round(it.desk)
        assert {job.id for job in await it.desk.jobs(OWNER)} == {waiting.id, running.id}
        assert it.kept() == [AUDIO]


async def test_a_job_stays_until_its_webhook_is_delivered(live: Live) -> None:
    live, clock = with_jobs(live, keep_audio=Duration("1s"), keep_results=Duration("1s")), Clock()
    async with office(live, tended=False, now=clock) as it:
        job = await it.hand_in(webhook_url="https://example.org/told")
        claimed = await it.store.claim(at=clock.at)
        assert claimed
        await it.store.complete(job.id, claimed.attempts, TRANSCRIPT, at=clock.at)
        clock.at += HOUR
        it.disk.free = 0
        await run_round(it.desk)
        assert it.kept() == []
        [delivery] = await it.desk.deliveries(job.id, OWNER)
        await it.store.tried(delivery, Attempt(at=clock.at, status=200), due_at=None)
        await run_round(it.desk)
        with pytest.raises(UnknownJob):
            await it.desk.job(job.id, OWNER)


async def test_more_jobs_than_are_looked_at_at_once_go_in_one_round(live: Live) -> None:
    live, clock = with_jobs(live, keep_audio=Duration("1s"), keep_results=Duration("1h")), Clock()
    async with office(live, tended=False, now=clock) as it:
        await finished(it, clock, 130)
        clock.at += HOUR / 2
        await run_round(it.desk)
        assert it.kept() == []
        assert (await it.store.counts())["completed"] == 130
        clock.at += HOUR
        await run_round(it.desk)
        assert (await it.store.counts())["completed"] == 0


async def test_when_the_disk_is_short_the_oldest_recordings_go_until_there_is_room(live: Live) -> None:
    clock = Clock()
    async with office(live, tended=False, now=clock) as it:
        await finished(it, clock, 6)
        clock.at += datetime.timedelta(seconds=1)
        disk_of(it, live, room=-1)  # two must go
        await run_round(it.desk)
        assert sorted(it.kept()) == [bytes([number]) * 100 for number in (2, 3, 4, 5)]
        assert (await it.store.counts())["completed"] == 6


async def test_recordings_make_room_for_a_new_one_at_once(live: Live) -> None:
    clock = Clock()
    async with office(live, tended=False, now=clock) as it:
        await finished(it, clock, 3)
        clock.at += datetime.timedelta(seconds=1)
        disk_of(it, live, room=0)
        await it.hand_in(b"new")
        assert sorted(it.kept()) == sorted([bytes([1]) * 100, bytes([2]) * 100, b"new"])


async def test_results_go_when_recordings_are_not_enough_and_not_all_at_once(live: Live) -> None:
    clock = Clock()
    async with office(live, tended=False, now=clock) as it:
        jobs = await finished(it, clock, 105)
        clock.at += datetime.timedelta(seconds=1)
        it.disk.free = 0
        with pytest.raises(Unavailable):
            await it.hand_in()
        assert it.kept() == []
        assert (await it.store.counts())["completed"] == 105, "a refusal costs no results"
        await run_round(it.desk)
        assert {job.id for job in await it.desk.jobs(OWNER)} == {job.id for job in jobs[100:]}


async def test_nothing_goes_before_its_time_while_there_is_room(live: Live) -> None:
    live, clock = with_jobs(live, disk_reserve=Size("1GiB")), Clock()
    async with office(live, tended=False, now=clock) as it:
        await finished(it, clock, 3)
        it.disk.free = 2**30
        clock.at += HOUR
        await run_round(it.desk)
        assert len(it.kept()) == 3


async def test_a_change_of_the_configuration_counts_at_once(live: Live) -> None:
    clock = Clock()
    async with office(live, tended=False, now=clock) as it:
        await finished(it, clock)
        clock.at += HOUR
        await run_round(it.desk)
        assert len(it.kept()) == 1
        live.current = with_jobs(live, keep_audio=Duration("1min")).current
        await run_round(it.desk)
        assert it.kept() == []


async def test_a_tended_desk_clears_up_by_itself(live: Live) -> None:
    live = with_jobs(live, keep_audio=Duration("0"), keep_results=Duration("1ms"))
    async with office(live, tended=False) as it:
        clock = Clock()
        clock.at -= HOUR
        [job] = await finished(it, clock)
        async with it.desk.tended():
            with pytest.raises(UnknownJob):
                await it.when(job, lambda _: False)
        assert it.kept() == []
