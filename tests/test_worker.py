"""One engine process, through its lives; the process is real, its model is not."""

import asyncio
import os
import re
import signal
from pathlib import Path

import psutil
import pytest
from conftest import changed, fake_setup, fake_worker, until

from whisperd.config.live import Live
from whisperd.config.units import Size
from whisperd.errors import (
    DeviceLost,
    EngineError,
    MediaError,
    OutOfMemory,
    ParameterError,
    StartError,
    WorkerDied,
    WorkerHung,
)
from whisperd.protocol import DecodeJob, Transcribed, TranscribeJob
from whisperd.status import WorkerState
from whisperd.worker import Worker


def job(prompt: str | None = None, audio: Path = Path("/nonexistent/audio.f32")) -> TranscribeJob:
    return TranscribeJob(
        audio=str(audio),
        samples=160_000,
        task="transcribe",
        language=None,
        words=True,
        prompt=prompt,
        hotwords=None,
        temperature=None,
        beam_size=None,
    )


async def test_a_job_is_answered_and_its_progress_told(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        positions: list[float] = []
        result = await worker.call(job(), lambda event: positions.append(event.position_s)).result
        assert isinstance(result, Transcribed)
        assert result.segments[0].words[1].text == " there."
        assert positions == [5.0]
        assert worker.languages == {"en", "de"}


async def test_jobs_run_side_by_side(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        waiting = worker.call(job("wait"))
        await worker.call(job()).result
        assert not waiting.result.done()
        worker.cancel(waiting)
        await waiting.finished


@pytest.mark.parametrize(
    ("prompt", "error"),
    [("oom", OutOfMemory), ("bad-audio", MediaError), ("bug", EngineError)],
)
async def test_a_failed_job_raises_its_own_error_and_leaves_the_worker_alive(
    live: Live, prompt: str, error: type[Exception]
) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        pid = worker.pid
        with pytest.raises(error):
            await worker.call(job(prompt)).result
        await worker.call(job()).result
        assert worker.pid == pid


async def test_a_bug_in_the_engine_tells_the_caller_nothing_of_its_inside(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        with pytest.raises(EngineError) as raised:
            await worker.call(job("bug")).result
        assert "KeyError" not in raised.value.message


async def test_a_worker_that_dies_fails_its_jobs_and_comes_back(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        first = worker.pid
        innocent = worker.call(job("wait"))
        with pytest.raises(WorkerDied, match="ended with status 3"):
            await worker.call(job("crash")).result
        with pytest.raises(WorkerDied):
            await innocent.result
        await worker.ready.wait()
        assert worker.pid != first
        assert worker.restarts == 1
        await worker.call(job()).result


async def test_a_killed_worker_is_named_by_its_signal(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        call = worker.call(job("wait"))
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            await call.result


async def test_a_job_without_progress_gets_its_worker_killed(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        with pytest.raises(WorkerHung, match="no progress"):
            await worker.call(job("hang")).result
        await worker.ready.wait()
        await worker.call(job()).result


async def test_a_frozen_process_gets_killed(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        with pytest.raises(WorkerHung, match="no sign of life"):
            await worker.call(job("freeze")).result
        await worker.ready.wait()
        await worker.call(job()).result


async def test_a_worker_that_is_frozen_does_not_count_as_answering(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        assert worker.pid
        os.kill(worker.pid, signal.SIGSTOP)
        await until(lambda: worker.restarts == 1)
        await worker.ready.wait()
        assert worker.answering


async def test_a_job_for_a_worker_that_is_not_up_fails_at_once(live: Live) -> None:
    worker = Worker("decode", fake_setup("decode"), live=live, environment={})
    with pytest.raises(WorkerDied, match="not running"):
        worker.call(DecodeJob("a", "b"))


@pytest.mark.parametrize(
    ("model", "message"),
    [("fail-to-load", "the model is damaged"), ("die-at-load", r"ended with status 5, 3 times in a row")],
)
async def test_a_worker_that_can_never_load_ends_its_supervisor(live: Live, model: str, message: str) -> None:
    async with fake_worker(live, model=model) as worker:
        await until(lambda: worker.state == "failed")
        assert not worker.ready.is_set()
        assert worker.message
        assert re.search(message, worker.message)


async def test_why_a_worker_died_is_told_until_another_is_ready(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str | None]] = []
    enter = Worker._enter

    def overheard(worker: Worker, state: WorkerState, message: str | None = None) -> None:
        told.append((state, message))
        enter(worker, state, message)

    monkeypatch.setattr(Worker, "_enter", overheard)
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        await until(lambda: worker.restarts == 1 and worker.ready.is_set())
    assert told == [
        ("starting", None),
        ("ready", None),
        ("restarting", "was killed by SIGKILL"),
        ("ready", None),
        ("stopped", None),
    ]


async def test_no_process_is_left_behind(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        process = psutil.Process(worker.pid)
        worker.call(job("wait"))
    await asyncio.to_thread(process.wait, 5)
    assert not process.is_running()


async def test_no_process_is_left_where_it_is_stopped_while_it_is_being_ended(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        process = psutil.Process(worker.pid)
        call = worker.call(job("hang-up"))
        await until(lambda: worker.pid is None)
        assert process.is_running()
    assert not process.is_running()
    with pytest.raises(WorkerDied):
        await call.result


async def test_a_missing_program_is_a_start_error(live: Live) -> None:
    worker = Worker(
        "decode", fake_setup("decode"), live=live, environment={}, command=["/nonexistent/python"]
    )
    with pytest.raises(StartError, match="could not be started"):
        await worker.supervise()


async def test_what_was_wrong_with_the_request_comes_with_its_name(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        with pytest.raises(ParameterError, match="no such language") as raised:
            await worker.call(job("bad-language")).result
        assert raised.value.param == "language"


async def test_a_worker_that_lost_its_card_is_started_anew_and_says_so(live: Live) -> None:
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        first = worker.pid
        innocent = worker.call(job("wait"))
        with pytest.raises(DeviceLost, match="lost its device: CUDA failed with error unspecified") as raised:
            await worker.call(job("lost-card")).result
        assert "/usr/lib" not in raised.value.message
        with pytest.raises(DeviceLost):
            await innocent.result
        await worker.ready.wait()
        assert worker.pid != first
        assert worker.renewals == 0


def with_growth(live: Live, growth: str) -> None:
    live.current = changed(live.current, "workers", memory_growth=Size(growth))


async def test_a_worker_that_leaks_is_started_anew_when_its_jobs_have_ended(live: Live) -> None:
    with_growth(live, "16MiB")
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        first = worker.pid
        running = worker.call(job("wait"))
        await worker.call(job("leak")).result
        await until(lambda: worker.swollen)
        assert worker.pid == first
        worker.cancel(running)
        await running.finished
        assert worker.renewing
        assert not worker.ready.is_set()
        await worker.ready.wait()
        assert worker.pid != first
        assert (worker.renewals, worker.restarts, worker.renewing, worker.swollen) == (1, 1, False, False)
        await worker.call(job()).result


async def test_a_worker_that_holds_what_it_may_stays(live: Live) -> None:
    with_growth(live, "1GiB")
    async with fake_worker(live) as worker:
        await worker.ready.wait()
        await worker.call(job("leak")).result
        await until(lambda: worker.rss_bytes > 2**25)
        assert not worker.swollen
        assert worker.renewals == 0
