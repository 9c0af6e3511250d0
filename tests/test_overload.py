"""More than it can do: a real daemon that is asked for much at once, and a model on two devices."""

import asyncio
import os
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from conftest import changed, until
from recordings import conversation, cut
from running import STATE, Daemon, eventually, models_installed
from test_transcribe_engine import job

from whisperd.config.live import Live
from whisperd.config.units import Duration
from whisperd.lane import Lane
from whisperd.plan import NO_QUESTION, WorkerPlan, plan
from whisperd.pool import Pool
from whisperd.protocol import Transcribed
from whisperd.worker import Worker

pytestmark = pytest.mark.engine

AT_ONCE = 24


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return cut(conversation(), tmp_path / "clip.wav", 8.0, 14.0)


def all_at_once(daemon: Daemon, clip: Path) -> list[httpx.Response]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda _: daemon.transcribe(clip), range(AT_ONCE)))


def queue(daemon: Daemon) -> Any:
    reply = httpx.get(f"{daemon.url}/health/ready")
    assert reply.status_code == 200
    [found] = reply.json()["queues"]
    return found


def settings(**limits: str) -> dict[str, str]:
    return {
        "WHISPERD_DIARIZE__ENABLED": "false",
        "WHISPERD_TRANSCRIBE__CONCURRENCY": "2",
        "WHISPERD_TRANSCRIBE__MODELS": "[]",
        **{f"WHISPERD_LIMITS__{name}": value for name, value in limits.items()},
    }


def test_what_is_too_much_is_refused_with_the_time_to_try_again_and_the_rest_is_answered(
    tmp_path: Path, clip: Path
) -> None:
    models_installed("tiny.en")
    with Daemon(tmp_path, settings(WAITING="3")) as daemon:
        alone = daemon.transcribe(clip).json()["text"]
        measured = queue(daemon)["speed"]
        replies = all_at_once(daemon, clip)
        answered = [reply for reply in replies if reply.status_code == 200]
        refused = [reply for reply in replies if reply.status_code != 200]
        assert answered
        assert refused
        assert {reply.json()["text"] for reply in answered} == {alone}
        assert {reply.status_code for reply in refused} <= {429, 503}
        assert {reply.json()["error"]["code"] for reply in refused} <= {"queue_full", "rate_limit_exceeded"}
        assert all(int(reply.headers["Retry-After"]) >= 1 for reply in refused)
        for _ in eventually():
            idle = queue(daemon)
            if not (idle["running"] or idle["waiting"] or idle["audio_s"]):
                break
        assert idle["speed"] != measured
        assert daemon.transcribe(clip).json()["text"] == alone
        exposition = httpx.get(f"{daemon.url}/metrics").text
        assert 'whisperd_speed_ratio{kind="transcribe",model="tiny.en"}' in exposition
        assert not daemon.spooled()


def test_a_long_recording_behind_another_is_refused_where_both_take_too_long_and_a_clip_is_not(
    tmp_path: Path, clip: Path
) -> None:
    models_installed("tiny.en")
    long = repeated(conversation(), tmp_path / "long.wav", times=60)
    slow = {"WHISPERD_TRANSCRIBE__BATCHES": "1"}
    with Daemon(tmp_path, settings(WAIT="40s") | slow) as daemon, ThreadPoolExecutor(1) as thread:
        first = thread.submit(daemon.transcribe, long)
        for _ in eventually(60):
            if queue(daemon)["running"]:
                break
        second = daemon.transcribe(long)
        assert second.status_code == 503
        assert second.json()["error"]["code"] == "queue_full"
        assert "seconds of audio are to be done before" in second.json()["error"]["message"]
        assert 1 <= int(second.headers["Retry-After"]) <= 3600
        assert daemon.transcribe(clip).status_code == 200
        assert first.result().status_code in (200, 504)


def repeated(source: Path, target: Path, *, times: int) -> Path:
    """A WAV file over and over."""
    with wave.open(str(source), "rb") as once, wave.open(str(target), "wb") as over_and_over:
        over_and_over.setparams(once.getparams())
        frames = once.readframes(once.getnframes())
        for _ in range(times):
            over_and_over.writeframes(frames)
    return target


async def test_two_devices_share_the_work_and_the_one_that_stays_does_all_of_it(
    live: Live, clip: Path, tmp_path: Path
) -> None:
    models_installed("tiny.en")
    patient = Duration("60s")
    live.current = changed(live.current, "workers", stall_timeout=patient, ping_timeout=patient)
    config = changed(live.current, "transcribe", device="cpu", model=str(STATE / "models" / "tiny.en"))
    config = changed(config, "diarize", enabled=False)
    planned = plan(config, os.environ, NO_QUESTION, cores=1).workers[1]
    pool = Pool([lane_of(planned, live), lane_of(planned, live)])
    done: list[Lane] = []
    recording = job(clip, directory=tmp_path)
    for lane in pool.lanes:
        lane.wake()
    try:
        await until(lambda: all(lane.up for lane in pool.lanes), timeout_s=90)
        tasks = [asyncio.create_task(pool.run(recording, started=done.append)) for _ in range(6)]
        await until(lambda: len(done) == 6)
        assert [done.count(lane) for lane in pool.lanes] == [3, 3]
        pid = pool.lanes[0].worker.pid
        assert pid
        os.kill(pid, 9)
        results = await asyncio.gather(*tasks)
        assert {type(result) for result in results} == {Transcribed}
        assert [done.count(lane) for lane in pool.lanes][1] > 3
        assert pool.lanes[1].worker.restarts == 0
    finally:
        await asyncio.gather(*(lane.end() for lane in pool.lanes))


def lane_of(planned: WorkerPlan, live: Live) -> Lane:
    worker = Worker("transcribe", planned.setup, live=live, environment=planned.environment)
    return Lane(worker, planned.slots, speed=planned.speed)
