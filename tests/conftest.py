"""What tests share: a configuration with short times, and workers without a model."""

import asyncio
import contextlib
import dataclasses
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from whisperd.config.live import Live
from whisperd.config.schema import Config, Limits, Paths, Workers
from whisperd.config.units import Duration
from whisperd.lane import Lane
from whisperd.pool import Pool
from whisperd.protocol import DecodeSetup, DiarizeSetup, Kind, Setup, TranscribeSetup, TranslateSetup
from whisperd.scheduler import Role, Scheduler
from whisperd.worker import Worker

# The settings of whoever runs the tests are not those of the tests.
for _name in [name for name in os.environ if name.startswith("WHISPERD_")]:
    del os.environ[_name]

pytest_plugins = ("boxes.systems",)

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
FAKE_COMMAND = (sys.executable, str(FAKE_WORKER))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The defaults, in a directory of the test's own, with workers that are pinged often."""
    return Config(
        paths=Paths(state=tmp_path / "state", spool=tmp_path / "spool", run=tmp_path / "run"),
        limits=Limits(wait=Duration("30s")),
        workers=Workers(
            ping_interval=Duration("50ms"),
            ping_timeout=Duration("3s"),
            stall_timeout=Duration("1s"),
            start_timeout=Duration("20s"),
        ),
    )


@pytest.fixture
def live(config: Config) -> Live:
    return Live(config)


def fake_setup(kind: Kind, model: str = "fake") -> Setup:
    """What a worker of a kind is started with."""
    match kind:
        case "translate":
            return TranslateSetup(
                model=model, model_dir="", device="cpu", device_index=0, compute_type="int8", threads=1
            )
        case "decode":
            return DecodeSetup(concurrency=4, max_duration_s=3600)
        case "transcribe":
            return TranscribeSetup(
                model=model,
                model_dir="",
                device="cpu",
                device_index=0,
                compute_type="int8",
                concurrency=4,
                threads=1,
                beam_size=5,
                vad=True,
            )
        case "diarize":
            return DiarizeSetup(model=model, model_dir="", device="cpu", device_index=0, threads=1)


@contextlib.asynccontextmanager
async def fake_worker(live: Live, kind: Kind = "transcribe", model: str = "fake") -> AsyncIterator[Worker]:
    """A supervised worker without a model, gone at the end."""
    worker = Worker(
        kind, fake_setup(kind, model), live=live, environment=dict(os.environ), command=FAKE_COMMAND
    )
    supervisor = asyncio.create_task(worker.supervise())
    try:
        yield worker
    finally:
        supervisor.cancel()
        await asyncio.wait([supervisor])
        if not supervisor.cancelled():
            supervisor.exception()


def scheduler_of(lanes: dict[Kind, Lane], live: Live) -> Scheduler:
    """A scheduler that hires nobody."""

    def hire(role: Role) -> Pool:
        raise AssertionError(f"nobody should be hired as {role}")

    async def free_bytes(_: str) -> int:
        return 2**40

    pools = {kind: Pool([lane]) for kind, lane in lanes.items()}
    return Scheduler(pools, live=live, hire=hire, free_bytes=free_bytes)


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is often another process's
            await asyncio.sleep(0.01)


def changed(config: Config, section: str, **options: object) -> Config:
    """A configuration with some options of one section set."""
    part = dataclasses.replace(getattr(config, section), **options)
    return dataclasses.replace(config, **{section: part})
