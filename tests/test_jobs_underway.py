"""Jobs that the daemon died of: what is counted, who is suspected, and when a job is given up."""

from pathlib import Path

import pytest
from conftest import until
from msgspec.structs import replace
from working import AUDIO, OWNER, Office, new_job, office, utc_now, with_jobs

from whisperd.config.live import Live
from whisperd.jobs.model import Job
from whisperd.jobs.underway import Underway

URL = "https://example.org/talk.mp3"


def marks(live: Live) -> Path:
    return live.current.paths.state / "jobs" / "underway"


def marked(live: Live) -> set[str]:
    return {path.stem for path in marks(live).iterdir()}


async def killed(live: Live, it: Office, *jobs: Job, at_work: bool = True) -> None:
    """Leave jobs as a daemon does that is killed after it took them."""
    for job in jobs:
        claimed = await it.store.claim(at=utc_now())
        assert claimed
        assert claimed.id == job.id
        if at_work:
            (marks(live) / f"{job.id}.{claimed.began}").touch()


async def suspects(live: Live, number: int) -> list[Job]:
    """Jobs that were worked on when a daemon died."""
    async with office(live, tended=False) as it:
        marks(live).mkdir()
        jobs = [await it.hand_in() for _ in range(number)]
        await killed(live, it, *jobs)
    return jobs


async def test_a_job_is_marked_while_it_is_worked_on_and_not_while_it_waits(live: Live) -> None:
    async with office(live, running=1) as it:
        it.service.may_answer.clear()
        job, waiting = await it.hand_in(), await it.hand_in()
        await until(lambda: it.service.running == 1)
        assert marked(live) == {job.id}
        it.service.may_answer.set()
        for each in (job, waiting):
            await it.over(each, "completed")
        await until(lambda: not marked(live))


async def test_a_job_is_marked_while_its_recording_is_fetched(live: Live) -> None:
    async with office(live) as it:
        it.fetcher.files[URL] = AUDIO
        it.fetcher.may_come.clear()
        job = await it.send_for(URL)
        await it.when(job, lambda kept: kept.status == "processing")
        await until(lambda: marked(live) == {job.id})
        it.fetcher.may_come.set()
        await it.over(job, "completed")


def test_an_attempt_leaves_the_mark_of_the_one_that_began_before_its_end(tmp_path: Path) -> None:
    underway, job = Underway(tmp_path), new_job(began=2)
    with underway.attempt(replace(job, began=4)) as mark_next:
        with underway.attempt(job) as mark:
            mark()
            mark_next()
        assert underway.left() == {job.id}
    assert underway.left() == set()


async def test_a_stop_leaves_no_mark(live: Live) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await until(lambda: marked(live) == {job.id})
    assert marked(live) == set()


async def test_an_attempt_that_ended_with_the_daemon_is_one_that_failed(live: Live) -> None:
    [job] = await suspects(live, 1)
    async with office(with_jobs(live, attempts=2)) as it:
        done = await it.over(job, "completed")
        await until(lambda: not marked(live))
    assert (done.attempts, [cause.code for cause in done.causes]) == (2, ["server_died"])
    assert done.causes[0].message == "the server died while it worked on this recording"


async def test_a_job_that_was_only_taken_when_the_daemon_died_was_interrupted(live: Live) -> None:
    async with office(live, tended=False) as it:
        job = await it.hand_in()
        await killed(live, it, job, at_work=False)
    async with office(with_jobs(live, attempts=1)) as it:
        done = await it.over(job, "completed")
    assert (done.attempts, done.causes) == (1, [])


async def test_a_job_that_the_daemon_dies_of_again_and_again_is_given_up(live: Live) -> None:
    live = with_jobs(live, attempts=2)
    [job] = await suspects(live, 1)
    async with office(live) as it:
        it.service.may_answer.clear()
        await it.when(job, lambda kept: kept.attempts == 2 and marked(live))
    async with office(live, tended=False) as it:  # that was a stop, of which no attempt comes
        assert (await it.store.get(job.id, OWNER)).attempts == 1
        await killed(live, it, job)
    async with office(live) as it:
        failed = await it.over(job, "failed")
        await until(lambda: not marked(live))
        assert failed.error
        assert (failed.error.code, failed.attempts, len(failed.causes)) == ("server_died", 2, 2)
        assert [ended.id for ended, _ in it.ended] == [job.id]
        assert it.service.requests == []


async def test_what_a_job_left_that_is_gone_is_forgotten(live: Live) -> None:
    marks(live).mkdir(parents=True)
    (marks(live) / "gone.1").touch()
    async with office(live):
        assert marked(live) == set()


async def test_suspects_are_worked_on_one_at_a_time_and_others_beside_them(live: Live) -> None:
    jobs = await suspects(live, 3)
    async with office(live, running=3) as it:
        it.service.may_answer.clear()
        await it.when(jobs[0], lambda kept: kept.attempts == 2)
        for job in jobs[1:]:
            await it.when(job, lambda kept: kept.due_at and kept.due_at < utc_now())
        other = await it.hand_in()
        await it.when(other, lambda kept: kept.status == "processing")
        assert (await it.store.counts())["processing"] == 2
        it.service.may_answer.set()
        for job in (*jobs, other):
            await it.over(job, "completed")
        assert it.service.most_running == 2


def test_a_mark_that_can_not_be_made_is_told_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Underway(tmp_path / "missing").attempt(new_job()) as mark:
        mark()
    assert "can't note that a job is worked on: No such file or directory" in caplog.text
