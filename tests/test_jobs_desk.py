"""The desk: what is handed in is kept, asked after and called off, by its owner alone."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import until
from fake_service import READY, TRANSCRIPT
from working import AUDIO, OWNER, Office, new_job, office, utc_now, with_jobs

from whisperd.config.live import Live
from whisperd.errors import (
    EngineError,
    IdempotencyKeyReused,
    MediaError,
    NotCancellable,
    Unavailable,
    UnknownJob,
)
from whisperd.jobs.board import Board
from whisperd.jobs.model import Job, Progress, Work
from whisperd.jobs.store import Store
from whisperd.metrics import Metrics

URL = "https://example.org/talk.mp3?signature=secret"


def sheets(it: Office) -> int:
    return len(it.desk._board._sheets)


# ---- handing in ----------------------------------------------------------------------------------


async def test_what_was_accepted_is_kept_before_anybody_is_told(live: Live) -> None:
    async with office(live, tended=False) as it:
        job = await it.hand_in(details={"language_code": "fr"})
    async with office(live, tended=False) as after:
        [kept] = await after.desk.jobs(OWNER)
        assert kept == job
        assert after.kept() == [AUDIO]
    assert (job.status, job.source.size, job.source.filename) == ("queued", len(AUDIO), "talk.wav")
    assert job.source.digest == hashlib.sha256(AUDIO).hexdigest()
    assert job.details == {"language_code": "fr"}


async def test_a_repeated_request_is_the_same_job(live: Live) -> None:
    async with office(live, tended=False) as it:
        first = await it.hand_in(idempotency_key="k", fingerprint="f")
        again = await it.hand_in(idempotency_key="k", fingerprint="f")
        assert again.id == first.id
        assert len(await it.desk.jobs(OWNER)) == len(it.kept()) == 1
        others = await it.hand_in(idempotency_key="k", fingerprint="f", owner="bob")
        assert others.id != first.id


async def test_a_key_for_another_request_is_refused_and_leaves_no_recording(live: Live) -> None:
    async with office(live, tended=False) as it:
        await it.hand_in(idempotency_key="k", fingerprint="f")
        with pytest.raises(IdempotencyKeyReused):
            await it.hand_in(b"another recording", idempotency_key="k", fingerprint="g")
        assert it.kept() == [AUDIO]


async def test_nothing_is_taken_while_the_disk_is_short(live: Live) -> None:
    async with office(live, tended=False) as it:
        it.disk.free = live.current.jobs.disk_reserve - 1
        with pytest.raises(Unavailable) as refusal:
            await it.hand_in()
        assert refusal.value.retry_after_s == 60
        assert (await it.desk.jobs(OWNER), it.kept()) == ([], [])
        assert it.disk.path == it.desk.incoming.root
        it.disk.free += 1
        await it.hand_in()


async def test_the_journal_tells_of_jobs_without_what_is_secret(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "whisperd")
    async with office(live) as it:
        it.fetcher.files[URL] = AUDIO
        it.service.failures = [EngineError("the engine failed")]
        job = await it.over(await it.desk.accept(new_job(url=URL), None), "completed")
    told = [
        record.__dict__["journal_fields"]
        for record in caplog.records
        if record.__dict__.get("journal_fields", {}).get("job_id") == job.id
    ]
    assert [fields["outcome"] for fields in told] == ["accepted", "failed", "completed"]
    assert told[1]["error_code"] == "engine_error"
    assert (told[2]["attempt"], told[2]["audio_s"]) == (2, TRANSCRIPT.duration)
    assert "secret" not in caplog.text
    assert "Hello" not in caplog.text


# ---- owners --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda it, job: it.desk.job(job.id, "eve"),
        lambda it, job: it.desk.cancel(job.id, "eve"),
        lambda it, job: it.desk.delete(job.id, "eve"),
        lambda it, job: it.desk.transcript(job.id, "eve"),
        lambda it, job: it.desk.wait(job.id, "eve", 0.1),
        lambda it, job: it.desk.deliveries(job.id, "eve"),
        lambda it, job: anext(it.desk.events(job.id, "eve")),
    ],
    ids=["job", "cancel", "delete", "transcript", "wait", "deliveries", "events"],
)
async def test_others_know_nothing_of_a_job(
    live: Live, ask: Callable[[Office, Job], Awaitable[object]]
) -> None:
    async with office(live) as it:
        job = await it.hand_in()
        await it.over(job)
        with pytest.raises(UnknownJob):
            await ask(it, job)
        assert await it.desk.jobs("eve") == []
        assert (await it.desk.job(job.id, OWNER)).status == "completed"


# ---- calling off ---------------------------------------------------------------------------------


async def test_a_cancelled_job_that_waits_is_never_worked_on(live: Live) -> None:
    async with office(live, tended=False) as it:
        job = await it.hand_in()
        assert (await it.desk.cancel(job.id, OWNER)).status == "cancelled"
        async with it.desk.tended():
            await it.over(await it.hand_in(b"another"), "completed")
        assert it.service.recordings == [b"another"]


async def test_cancelling_a_running_job_frees_the_engine(live: Live) -> None:
    async with office(live, running=1) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await until(lambda: it.service.running == 1)
        cancelled = await it.desk.cancel(job.id, OWNER)
        assert (it.service.cancelled, it.service.running) == (1, 0)
        assert cancelled.status == "cancelled"
        assert cancelled.completed_at
        assert await it.desk.deliveries(job.id, OWNER) == []
        it.service.may_answer.set()
        await it.over(await it.hand_in(), "completed")
        assert (await it.desk.job(job.id, OWNER)).status == "cancelled"
        assert list(it.spool.iterdir()) == []


async def test_a_job_that_is_cancelled_while_it_is_taken_is_left_off(live: Live) -> None:
    taken, may_go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        def __init__(self, store: Store) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def claim(self, **options: Any) -> Job | None:
            if job := await self._store.claim(**options):
                taken.set()
                await may_go_on.wait()
            return job

    async with office(live, store_of=lambda store: Slow(store)) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await taken.wait()
        cancelling = asyncio.create_task(it.desk.cancel(job.id, OWNER))
        await it.when(job, lambda kept: kept.ended)
        may_go_on.set()
        await cancelling
        await it.hand_in(b"another")
        await until(lambda: b"another" in it.service.recordings)
        assert it.service.running == 1


async def test_a_job_can_be_cancelled_while_it_is_fetched(live: Live) -> None:
    async with office(live, tended=False) as it:
        fetching = asyncio.Event()

        class Endless:
            async def __aenter__(self) -> None:
                fetching.set()
                await asyncio.Event().wait()

            async def __aexit__(self, *_: object) -> None:
                pass

        it.fetcher.recording = lambda _: Endless()  # type: ignore[assignment, method-assign, return-value]
        async with it.desk.tended():
            job = await it.send_for(URL)
            await fetching.wait()
            assert (await it.desk.job(job.id, OWNER)).progress == Progress(stage="fetching")
            await it.desk.cancel(job.id, OWNER)
            assert (await it.desk.job(job.id, OWNER)).status == "cancelled"
            assert sheets(it) == 0


async def test_a_job_that_waits_for_another_attempt_can_be_cancelled(live: Live) -> None:
    async with office(live, first_pause_s=3600) as it:
        it.service.failures = [EngineError("once")]
        job = await it.hand_in()
        await it.when(job, lambda kept: kept.due_at)
        assert (await it.desk.cancel(job.id, OWNER)).status == "cancelled"
        assert [cause.message for cause in (await it.desk.job(job.id, OWNER)).causes] == ["once"]


async def test_what_has_ended_can_not_be_cancelled(live: Live) -> None:
    async with office(live) as it:
        job = await it.over(await it.hand_in(), "completed")
        with pytest.raises(NotCancellable):
            await it.desk.cancel(job.id, OWNER)


async def test_deleting_a_running_job_frees_the_engine_and_removes_everything(live: Live) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await until(lambda: it.service.running == 1)
        assert (await it.desk.delete(job.id, OWNER)).status == "processing"
        assert (it.service.cancelled, it.service.running) == (1, 0)
        assert (await it.desk.jobs(OWNER), it.kept(), sheets(it)) == ([], [], 0)
        with pytest.raises(UnknownJob):
            await it.desk.delete(job.id, OWNER)


async def test_a_deleted_job_leaves_the_recording_that_another_needs(live: Live) -> None:
    async with office(live, tended=False) as it:
        first, second = await it.hand_in(), await it.hand_in(owner="bob")
        await it.desk.delete(first.id, OWNER)
        assert it.kept() == [AUDIO]
        await it.desk.delete(second.id, "bob")
        assert it.kept() == []


# ---- watching ------------------------------------------------------------------------------------


async def test_a_running_job_tells_how_far_it_is_and_what_it_heard(live: Live) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in(work=Work(speakers=True))
        await until(lambda: len(it.desk.partial(job.id)) == 2)
        running = await it.desk.job(job.id, OWNER)
        assert running.progress is not None
        assert running.progress.stage == "transcribing and diarizing"
        assert (running.progress.position_s, running.progress.duration_s) == (5.0, 5.24)
        assert running.progress.percentage == 95
        assert it.desk.partial(job.id) == TRANSCRIPT.segments
        assert await it.desk.jobs(OWNER) == [running]
        it.service.may_answer.set()
        done = await it.over(job, "completed")
        assert done.progress is None
        assert (it.desk.partial(job.id), sheets(it)) == ([], 0)


def test_the_end_is_estimated_from_the_speed_since_the_engine_took_it_up() -> None:
    noon, time_s = utc_now(), 0.0
    board = Board(clock=lambda: time_s, now=lambda: noon)
    with board.attempt(new_job(id="j")) as hearing:
        hearing.begin(new_job(id="j"))
        hearing.decoded(100.0)
        ends = []
        for moment, position in ((1000.0, 10.0), (1005.0, 20.0), (1010.0, 60.0), (1010.0, 100.0)):
            time_s = moment
            hearing.moved(position)
            progress = board.progress("j")
            assert progress is not None
            ends.append(progress.ends_at and (progress.ends_at - noon).total_seconds())
    assert ends == [None, 40.0, 8.0, 0.0]
    assert board.progress("j") is None


async def test_waiting_ends_with_the_job(live: Live) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        waiting = asyncio.create_task(it.desk.wait(job.id, OWNER, 20))
        await until(lambda: it.service.running == 1)
        assert not waiting.done()
        it.service.may_answer.set()
        assert (await waiting).status == "completed"
        assert (await it.desk.wait(job.id, OWNER, 20)).status == "completed"


async def test_waiting_ends_when_the_time_is_up(live: Live) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await until(lambda: it.service.running == 1)
        waited = await it.desk.wait(job.id, OWNER, 0.05)
        assert waited.status == "processing"
        assert waited.progress
        assert (await it.desk.wait(job.id, OWNER, 0)).status == "processing"


async def test_waiting_ends_when_the_daemon_stops(live: Live) -> None:
    async with office(live, tended=False) as it:
        it.service.may_answer.clear()
        async with it.desk.tended():
            job = await it.hand_in()
            waiting = asyncio.create_task(it.desk.wait(job.id, OWNER, 1000))
            await until(lambda: it.service.running == 1)
        assert (await waiting).status == "queued"
        assert (await it.desk.wait(job.id, OWNER, 1000)).status == "queued", "nothing will come"


async def test_waiting_for_a_job_that_is_deleted_tells_that_there_is_none(live: Live) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        waiting = asyncio.create_task(it.desk.wait(job.id, OWNER, 20))
        await until(lambda: it.service.running == 1)
        await it.desk.delete(job.id, OWNER)
        with pytest.raises(UnknownJob):
            await waiting


async def test_nothing_is_left_on_the_board(live: Live) -> None:
    async with office(with_jobs(live, attempts=1)) as it:
        it.service.failures = [MediaError("no recording"), EngineError("failed")]
        jobs = [await it.hand_in() for _ in range(6)]
        await asyncio.gather(*(it.desk.wait(job.id, OWNER, 20) for job in jobs for _ in range(3)))
        await until(lambda: sheets(it) == 0)


async def test_jobs_are_counted_for_the_metrics(live: Live) -> None:
    async with office(live) as it:
        it.service.failures = [MediaError("no recording")]
        await it.over(await it.hand_in(), "failed")
        await it.over(await it.hand_in(), "completed")
        await it.desk._keep_house()
        exposition, _ = Metrics(lambda: READY, it.desk.counts).exposition("")
    lines = exposition.decode().splitlines()
    assert 'whisperd_jobs{status="failed"} 1.0' in lines
    assert 'whisperd_jobs{status="completed"} 1.0' in lines
    assert 'whisperd_jobs{status="queued"} 0.0' in lines
