"""What a recording's bytes may do to the process that opens them, and to nobody else."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import until
from recordings import tone

from whisperd.engine import Cancelled, Progress, confined
from whisperd.engine.allowance import Allowance
from whisperd.engine.confined import End
from whisperd.engine.recordings import Recordings
from whisperd.errors import EngineError, MediaError, TooLong, Unavailable
from whisperd.protocol import Decoded, DecodeJob, DecodeSetup

SMALL = Allowance(recordings=1, size_bytes=0, longest_s=1.0, stall_s=30.0)


def decoded(text: str = "") -> Decoded:
    return Decoded(16_000, text, "", 16_000, 1)


def run(
    work: Callable[[Progress], Decoded],
    allowance: Allowance = SMALL,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    positions: list[float] | None = None,
    ends: list[End] | None = None,
) -> Decoded:
    done = confined.run(
        lambda job, progress, cancelled: work(progress),  # noqa: ARG005 - as the engine calls it
        None,
        allowance,
        lambda position_s, _=None: (positions if positions is not None else []).append(position_s),
        cancelled,
        ended=(ends if ends is not None else []).append,
    )
    assert isinstance(done, Decoded)
    return done


def test_a_job_is_answered_from_a_process_of_its_own_and_its_progress_told() -> None:
    positions: list[float] = []

    def work(progress: Progress) -> Decoded:
        progress(1.5)
        return decoded(str(os.getpid()))

    assert run(work, positions=positions).container != str(os.getpid())
    assert positions == [1.5]


@pytest.mark.parametrize("error", [MediaError("m"), TooLong("t"), Unavailable("u")])
def test_an_error_is_raised_as_it_was_in_the_process(error: Exception) -> None:
    def work(_: Progress) -> Decoded:
        raise error

    with pytest.raises(type(error), match=str(error)):
        run(work)


def test_a_bug_tells_the_caller_nothing_of_its_inside() -> None:
    def work(_: Progress) -> Decoded:
        raise KeyError("/var/lib/secret")

    with pytest.raises(EngineError) as raised:
        run(work)
    assert "secret" not in raised.value.message


def _trace() -> None:
    if ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0):
        raise OSError(ctypes.get_errno(), "")


ATTEMPTS: dict[str, Callable[[], object]] = {
    "reach the network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
    "reach a neighbour": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close(),
    "run a program": lambda: subprocess.run(["/bin/true"], check=True),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "trace the worker": _trace,
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_process_that_was_taken_over_reaches_nothing_beyond_its_files(attempt: str) -> None:
    def work(_: Progress) -> Decoded:
        try:
            ATTEMPTS[attempt]()
        except PermissionError:
            return decoded("refused")
        return decoded("done")

    assert run(work).container == "refused"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_file_that_kills_its_process_is_no_recording_and_tried_once(
    tmp_path: Path, number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    def work(_: Progress) -> Decoded:
        with (tmp_path / "tries").open("a") as tries:
            tries.write("x")
        os.kill(os.getpid(), number)
        return decoded()

    with pytest.raises(MediaError, match="broke down in it"):
        run(work)
    assert (tmp_path / "tries").read_text() == "x"
    assert number.name in caplog.text


@pytest.mark.parametrize(("kills", "tries"), [(1, "xx"), (2, "xx")])
def test_a_process_that_somebody_kills_is_followed_by_another_once(
    tmp_path: Path, kills: int, tries: str
) -> None:
    """No file can do that; the system does, when memory is short."""
    told = tmp_path / "tries"

    def work(_: Progress) -> Decoded:
        with told.open("a") as file:
            file.write("x")
        if len(told.read_text()) <= kills:
            os.kill(os.getpid(), signal.SIGKILL)
        return decoded()

    if kills == 1:
        assert run(work) == decoded()
    else:
        with pytest.raises(MediaError, match="broke down in it"):
            run(work)
    assert told.read_text() == tries


def test_a_process_that_exits_without_a_word_is_its_files_fault() -> None:
    with pytest.raises(MediaError, match="broke down in it"):
        run(lambda _: os._exit(0))


def test_a_file_gets_so_much_memory_and_no_more() -> None:
    def work(_: Progress) -> Decoded:
        return decoded(str(len(bytearray(2**30))))

    with pytest.raises(MediaError, match="more memory"):
        run(work)


def test_a_file_gets_the_computing_time_that_its_sound_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whisperd.engine.allowance._FIRST_CPU_S", 1)
    ends: list[End] = []

    def spin(seconds: float) -> None:
        until_s = time.process_time() + seconds
        while time.process_time() < until_s:
            pass

    def busy(progress: Progress) -> Decoded:
        progress(10.0)  # worth 2 s more
        spin(1.5)
        return decoded()

    longer = Allowance(recordings=1, size_bytes=0, longest_s=100.0, stall_s=30.0)
    run(busy, longer)
    with pytest.raises(MediaError, match="computing time"):
        run(lambda _: spin(30), ends=ends)  # type: ignore[arg-type,return-value]
    assert ends[0].cpu_s < 3


def test_a_file_in_which_nothing_moves_is_given_up() -> None:
    still = Allowance(recordings=1, size_bytes=0, longest_s=1.0, stall_s=0.2)
    with pytest.raises(MediaError, match="standstill"):
        run(lambda _: time.sleep(60), still)  # type: ignore[arg-type,return-value]


def test_a_cancelled_job_ends_at_once_wherever_it_is() -> None:
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        run(lambda _: time.sleep(60), cancelled=lambda: time.monotonic() > begun + 0.2)  # type: ignore[arg-type,return-value]
    assert time.monotonic() - begun < 30


def test_a_process_has_none_of_the_workers_descriptors(tmp_path: Path) -> None:
    def work(_: Progress) -> Decoded:
        links = list(Path("/proc/self/fd").iterdir())
        return decoded(",".join(str(link.readlink()) for link in links if link.is_symlink()))

    with (tmp_path / "secret").open("w"):
        assert "secret" not in run(work).container


def test_a_process_says_no_more_than_an_answer_takes() -> None:
    with pytest.raises(EngineError, match="too much"):
        run(lambda _: decoded("x" * 2**20))


async def test_a_file_that_kills_its_process_costs_its_neighbour_nothing(tmp_path: Path) -> None:
    engine = Recordings(DecodeSetup(concurrency=2, max_duration_s=60))
    work = engine._work[DecodeJob]
    told, results = tmp_path / "told", list[Any]()

    def odd(job: DecodeJob, progress: Progress, cancelled: Callable[[], bool]) -> Decoded:
        if job.source.endswith("bad.wav"):
            os.kill(os.getpid(), signal.SIGSEGV)
        while not told.exists():
            time.sleep(0.01)
        result: Decoded = work(job, progress, cancelled)
        return result

    engine._work[DecodeJob] = odd
    good, bad = (tone(tmp_path / name, channels=2) for name in ("good.wav", "bad.wav"))

    def decode(source: Path) -> None:
        results.append(engine.run(DecodeJob(str(source), f"{source}.f32"), lambda *_: None, lambda: False))

    neighbour = threading.Thread(target=decode, args=(good,))
    neighbour.start()
    with pytest.raises(MediaError):
        decode(bad)
    told.touch()
    await until(lambda: bool(results))
    neighbour.join()
    assert results[0].samples == 16_000
