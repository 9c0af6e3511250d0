"""Working on jobs: in which order, what is tried again, and what is left when something dies."""

import datetime
import errno
from typing import Any

import pytest
from conftest import until
from fake_service import TRANSCRIPT
from working import AUDIO, OWNER, office, utc_now, with_jobs

from whisperd.config.live import Live
from whisperd.errors import (
    DeadlineExceeded,
    Draining,
    EngineError,
    FetchFailed,
    MediaError,
    NotEnoughMemory,
    NotReady,
    OutOfMemory,
    ParameterError,
    QueueFull,
    Unavailable,
    UnknownModel,
    UrlNotFound,
    UrlRefused,
    WhisperdError,
    WorkerDied,
)
from whisperd.jobs.model import Work
from whisperd.jobs.store import Store
from whisperd.transcript.model import Detection, SpeakerHints

URL = "https://example.org/talk.mp3"
LONG_S = 3600.0


class Recalcitrant:
    """In front of a store: steps that fail as often as a test says, or that it may watch."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failures: dict[str, int] = {}
        self.tries: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        step = getattr(self._store, name)

        async def taken(*args: Any, **options: Any) -> Any:
            self.tries[name] = self.tries.get(name, 0) + 1
            if self.failures.get(name, 0):
                self.failures[name] -= 1
                raise Unavailable("the disk is full")
            return await step(*args, **options)

        return taken


# ---- order ---------------------------------------------------------------------------------------


async def test_a_job_is_worked_on_and_its_transcript_kept(live: Live) -> None:
    async with office(live) as it:
        job = await it.hand_in()
        done = await it.over(job, "completed")
        assert await it.desk.transcript(job.id, OWNER) == TRANSCRIPT
        assert (done.attempts, done.causes, done.error) == (1, [], None)
        assert done.audio_duration_s == TRANSCRIPT.duration
        assert it.service.recordings == [AUDIO]
        assert [(ended.id, transcript) for ended, transcript in it.ended] == [(job.id, TRANSCRIPT)]
    assert list(it.spool.iterdir()) == []


async def test_higher_priorities_go_first_and_of_one_the_oldest(live: Live) -> None:
    async with office(live, tended=False, running=1) as it:
        wanted = ["normal", "low", "high", "normal", "high"]
        jobs = [await it.hand_in(audio=bytes([n]), priority=name) for n, name in enumerate(wanted)]
        async with it.desk.tended():
            for job in jobs:
                await it.over(job, "completed")
        assert it.service.recordings == [bytes([number]) for number in (2, 4, 0, 3, 1)]
        assert [request.priority for request in it.service.requests] == [
            "high", "high", "normal", "normal", "low",
        ]  # fmt: skip


async def test_as_many_are_worked_on_at_once_as_configured(live: Live) -> None:
    async with office(live, running=3) as it:
        it.service.may_answer.clear()
        jobs = [await it.hand_in() for _ in range(8)]
        await until(lambda: it.service.running == 3)
        assert (await it.store.counts())["processing"] == 3
        it.service.may_answer.set()
        for job in jobs:
            await it.over(job, "completed")
        assert it.service.most_running == 3


async def test_the_request_says_what_the_job_does(live: Live) -> None:
    work = Work(
        task="translate",
        language="de",
        languages=("de", "en"),
        multilingual=True,
        detection=Detection(threshold=0.3),
        condition_on_previous_text=True,
        drop_doubted=True,
        words=False,
        speakers=True,
        hints=SpeakerHints(exactly=2),
        model="base",
        prompt="Hm,",
        hotwords="whisperd",
        temperature=0.2,
        beam_size=3,
    )
    async with office(live) as it:
        deadline = utc_now() + datetime.timedelta(seconds=100)
        await it.over(await it.hand_in(work=work, priority="low", deadline=deadline), "completed")
        request = it.service.asked
    for name in work.__struct_fields__:
        assert getattr(request, name) == getattr(work, name), name
    assert (request.priority, request.patient) == ("low", True)
    assert request.deadline_s is not None
    assert 50 < request.deadline_s <= 100
    assert request.audio.parent.parent == it.spool, "what is made of a recording lies beside it"


# ---- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        MediaError("that is no recording"),
        UnknownModel("no such model"),
        ParameterError("no such language"),
        DeadlineExceeded("the job's deadline passed before it was done"),
    ],
)
async def test_what_the_caller_must_mend_fails_at_once(live: Live, error: WhisperdError) -> None:
    async with office(live) as it:
        it.service.failures = [error]
        failed = await it.over(await it.hand_in(), "failed")
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == (error.code, error.message)
    assert not failed.error.retryable
    assert failed.causes == [failed.error]
    assert (failed.attempts, len(it.service.requests)) == (1, 1)


@pytest.mark.parametrize(
    "error", [EngineError("failed"), WorkerDied("died"), OutOfMemory("too large"), FetchFailed("cut off")]
)
async def test_what_may_go_better_is_tried_again_so_often(live: Live, error: WhisperdError) -> None:
    async with office(with_jobs(live, attempts=3)) as it:
        it.service.failures = [error] * 5
        failed = await it.over(await it.hand_in(), "failed")
    assert failed.attempts == 3
    assert [cause.code for cause in failed.causes] == [error.code] * 3
    assert failed.error == failed.causes[-1]
    assert failed.error.retryable
    assert len(it.service.failures) == 2


async def test_a_success_keeps_the_causes_of_the_failures_before_it(live: Live) -> None:
    async with office(live) as it:
        it.service.failures = [EngineError("once"), OutOfMemory("twice")]
        done = await it.over(await it.hand_in(), "completed")
    assert [cause.message for cause in done.causes] == ["once", "twice"]
    assert (done.error, done.attempts) == (None, 3)
    assert len(it.ended) == 1


async def test_pauses_between_attempts_grow(live: Live) -> None:
    noon = utc_now()
    async with office(with_jobs(live, attempts=9), first_pause_s=LONG_S / 24, now=lambda: noon) as it:
        it.service.failures = [EngineError("again")] * 9
        job = await it.hand_in(created_at=noon)
        pauses = []
        for attempt in range(1, 7):
            waiting = await it.when(job, lambda kept: kept.due_at)
            assert waiting.due_at
            pauses.append((waiting.due_at - noon).total_seconds())
            assert (waiting.status, waiting.attempts) == ("queued", attempt)
            noon = waiting.due_at
            it.desk._runner.wake()
            await it.when(job, lambda kept: kept.attempts > len(pauses))
    assert pauses == [150, 300, 600, 600, 600, 600]


@pytest.mark.parametrize(
    "error",
    [
        NotReady("loading"),
        Draining("stopping"),
        NotEnoughMemory("no room beside the others"),
        QueueFull("many"),
        Unavailable("the disk is full"),
    ],
)
async def test_what_this_machine_lacks_for_the_moment_is_no_attempt(live: Live, error: Unavailable) -> None:
    error.retry_after_s = 0
    async with office(with_jobs(live, attempts=2)) as it:
        it.service.failures = [error] * 6
        done = await it.over(await it.hand_in(), "completed")
    assert (done.attempts, done.causes) == (1, [])


async def test_a_disk_that_is_full_while_a_job_is_worked_on_is_no_attempt(live: Live) -> None:
    async with office(live) as it:
        it.service.failures = [OSError(errno.ENOSPC, "No space left on device")]
        job = await it.hand_in()
        waiting = await it.when(job, lambda kept: kept.due_at)
    assert (waiting.status, waiting.attempts, waiting.causes) == ("queued", 0, [])


async def test_a_job_waits_as_long_as_the_refusal_says(live: Live) -> None:
    noon = utc_now()
    async with office(live, now=lambda: noon) as it:
        it.service.failures = [Unavailable("later", retry_after_s=77)]
        job = await it.hand_in()
        waiting = await it.when(job, lambda kept: kept.due_at)
    assert waiting.due_at == noon + datetime.timedelta(seconds=77)
    assert (waiting.status, waiting.attempts) == ("queued", 0)


async def test_a_fault_of_ours_is_logged_and_tried_again(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    async with office(live) as it:
        it.service.failures = [ZeroDivisionError("of /srv/secret")]
        done = await it.over(await it.hand_in(), "completed")
    assert [cause.code for cause in done.causes] == ["engine_error"]
    assert "secret" not in done.causes[0].message
    assert "ZeroDivisionError" in caplog.text


async def test_a_job_that_waits_for_another_attempt_lets_others_pass(live: Live) -> None:
    async with office(live, running=1, first_pause_s=LONG_S) as it:
        it.service.failures = [EngineError("once")]
        first = await it.hand_in(priority="high")
        await it.over(await it.hand_in(priority="low"), "completed")
        assert (await it.store.get(first.id, OWNER)).status == "queued"


# ---- fetching ------------------------------------------------------------------------------------


async def test_a_recording_is_fetched_once_for_all_attempts(live: Live) -> None:
    async with office(live) as it:
        it.fetcher.files[URL] = AUDIO
        it.service.failures = [EngineError("once")]
        it.service.may_answer.clear()
        job = await it.send_for(URL)
        assert job.status == "pending"
        await until(lambda: len(it.service.requests) == 1)
        it.fetcher.files.clear()
        it.service.may_answer.set()
        done = await it.over(job, "completed")
        assert it.kept() == [AUDIO]
    assert it.service.recordings == [AUDIO]
    assert (done.source.url, done.source.size) == (URL, len(AUDIO))
    assert done.source.digest
    assert len(done.causes) == 1


async def test_recordings_that_are_slow_to_come_keep_no_other_job_waiting(live: Live) -> None:
    async with office(live, tended=False, running=1) as it:
        it.fetcher.may_come.clear()
        it.fetcher.files = {f"{URL}?{number}": bytes([number]) for number in range(9)}
        slow = [await it.send_for(url, priority="high") for url in it.fetcher.files]
        async with it.desk.tended():
            await it.over(await it.hand_in(), "completed")
            counts = await it.store.counts()
            assert (counts["processing"], counts["pending"]) == (4, 5)
            it.fetcher.may_come.set()
            for job in slow:
                assert (await it.over(job, "completed")).attempts == 1
    assert it.service.most_running == 1


async def test_a_recording_that_has_come_waits_for_its_turn(live: Live) -> None:
    async with office(live, running=1) as it:
        it.fetcher.may_come.clear()
        it.fetcher.files[URL] = AUDIO
        it.service.may_answer.clear()
        fetched = await it.send_for(URL)
        await it.when(fetched, lambda kept: kept.status == "processing")
        await it.hand_in(b"first")
        await until(lambda: len(it.service.requests) == 1)
        urgent = await it.hand_in(b"urgent", priority="high")
        it.fetcher.may_come.set()
        waiting = await it.when(fetched, lambda kept: kept.source.digest)
        assert (waiting.status, waiting.attempts) == ("queued", 0)
        it.service.may_answer.set()
        await it.over(urgent, "completed")
        await it.over(fetched, "completed")
    assert it.service.recordings == [b"first", b"urgent", AUDIO]


@pytest.mark.parametrize("error", [UrlNotFound("nothing there"), UrlRefused("a private address")])
async def test_a_url_that_leads_nowhere_fails_at_once(live: Live, error: WhisperdError) -> None:
    async with office(live) as it:
        it.fetcher.error = error
        failed = await it.over(await it.send_for(URL), "failed")
    assert failed.error is not None
    assert (failed.error.code, failed.attempts) == (error.code, 1)


async def test_a_fetch_that_failed_is_tried_again(live: Live) -> None:
    async with office(live) as it:
        it.fetcher.error = FetchFailed("cut off")
        job = await it.send_for(URL)
        assert (await it.when(job, lambda kept: kept.causes)).status in ("pending", "processing")
        it.fetcher.error, it.fetcher.files[URL] = None, AUDIO
        await it.over(job, "completed")


async def test_nothing_is_fetched_while_the_disk_is_short(live: Live) -> None:
    async with office(live, tended=False) as it:
        it.fetcher.files[URL] = AUDIO
        job = await it.send_for(URL)
        it.disk.free = 0
        async with it.desk.tended():
            waiting = await it.when(job, lambda kept: kept.due_at)
            assert (waiting.status, waiting.attempts) == ("pending", 0)
        assert it.kept() == []


async def test_a_recording_that_is_gone_fails_its_job(live: Live) -> None:
    async with office(live, tended=False) as it:
        job = await it.hand_in()
        it.recordings.path(job.source.digest or "").unlink()
        async with it.desk.tended():
            failed = await it.over(job, "failed")
    assert failed.error is not None
    assert failed.error.message == "the recording is no longer kept"


# ---- deadlines -----------------------------------------------------------------------------------


def past() -> datetime.datetime:
    return utc_now() - datetime.timedelta(seconds=1)


async def test_a_job_that_waits_too_long_fails(live: Live) -> None:
    async with office(live, tended=False) as it:
        job = await it.hand_in(deadline=past())
        await it.desk._runner.fail_overdue()
        failed = await it.desk.job(job.id, OWNER)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.attempts) == ("failed", "deadline_exceeded", 0)
    assert failed.causes == []
    assert [ended.id for ended, _ in it.ended] == [job.id]


async def test_a_job_fails_at_its_deadline_whatever_it_does(live: Live) -> None:
    noon = utc_now()
    deadline = noon + datetime.timedelta(seconds=LONG_S)
    async with office(live, running=1, now=lambda: noon) as it:
        it.service.may_answer.clear()
        working = await it.hand_in(deadline=deadline)
        waiting = await it.hand_in(deadline=deadline)
        await until(lambda: it.service.running == 1)
        noon = deadline
        await it.desk._runner.fail_overdue()
        for job in (working, waiting):
            failed = await it.over(job, "failed")
            assert failed.error is not None
            assert failed.error.code == "deadline_exceeded"
        assert (it.service.cancelled, it.service.running) == (1, 0)
        assert len(it.ended) == 2


async def test_a_job_without_a_deadline_gets_the_configured_one(live: Live) -> None:
    async with office(live, tended=False) as it:
        job = await it.hand_in()
    assert job.deadline == job.created_at + datetime.timedelta(days=7)


# ---- dying ---------------------------------------------------------------------------------------


async def test_a_stop_gives_running_jobs_back_at_once(live: Live) -> None:
    async with office(live) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await until(lambda: it.service.running == 1)
    assert it.service.cancelled == 1
    async with office(live, tended=False) as after:
        waiting = await after.store.get(job.id, OWNER)
        assert (waiting.status, waiting.attempts, waiting.causes) == ("queued", 0, [])
        async with after.desk.tended():
            done = await after.over(job, "completed")
    assert done.attempts == 1
    assert it.ended == []


async def test_a_job_whose_daemon_was_killed_is_worked_on_again(live: Live) -> None:
    async with office(live, tended=False) as it:
        job = await it.hand_in()
        assert await it.store.claim(at=utc_now())  # and then it was killed
    async with office(live) as after:
        done = await after.over(job, "completed")
    assert (done.attempts, len(after.ended)) == (1, 1)


async def test_a_job_that_was_completed_before_the_kill_is_not_done_twice(live: Live) -> None:
    async with office(live, tended=False) as it:
        job = await it.hand_in()
        claimed = await it.store.claim(at=utc_now())
        assert claimed
        assert await it.store.complete(job.id, claimed.attempts, TRANSCRIPT, at=utc_now())
    async with office(live) as after:
        await after.over(job, "completed")
        await after.over(await after.hand_in(), "completed")
    assert len(after.service.requests) == len(after.ended) == 1


@pytest.mark.parametrize("step", ["complete", "fail", "retry", "claim", "next_due", "fetched"])
async def test_a_full_disk_delays_a_step_and_loses_nothing(live: Live, step: str) -> None:
    fronts: list[Recalcitrant] = []

    def front(store: Store) -> Any:
        fronts.append(Recalcitrant(store))
        return fronts[0]

    async with office(with_jobs(live, attempts=2), store_of=front) as it:
        fronts[0].failures = {step: 3}
        it.fetcher.files[URL] = AUDIO
        good = await it.send_for(URL)
        await it.over(good, "completed")
        it.service.failures = [EngineError("once"), EngineError("twice")]
        await it.over(await it.hand_in(), "failed")
        await until(lambda: not fronts[0].failures[step])
        assert await it.desk.transcript(good.id, OWNER) == TRANSCRIPT
        assert len(it.ended) == 2


async def test_a_job_that_waits_for_the_disk_is_given_back_when_there_is_room(live: Live) -> None:
    fronts: list[Recalcitrant] = []

    def front(store: Store) -> Any:
        fronts.append(Recalcitrant(store))
        return fronts[0]

    async with office(live, store_of=front) as it:
        fronts[0].failures = {"release": 3}
        it.service.failures = [Unavailable("the disk is full", retry_after_s=0)]
        done = await it.over(await it.hand_in(), "completed")
    assert (done.attempts, done.causes, fronts[0].failures["release"]) == (1, [], 0)


async def test_a_release_that_finds_the_disk_full_is_made_up_for_at_the_next_start(live: Live) -> None:
    fronts: list[Recalcitrant] = []

    def front(store: Store) -> Any:
        fronts.append(Recalcitrant(store))
        return fronts[0]

    async with office(live, store_of=front) as it:
        it.service.may_answer.clear()
        job = await it.hand_in()
        await until(lambda: it.service.running == 1)
        fronts[0].failures = {"release": 9}
    async with office(live) as after:
        assert (await after.over(job, "completed")).attempts == 1
