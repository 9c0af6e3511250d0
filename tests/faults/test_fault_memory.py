"""Memory that ends: the kernel kills a worker, or gives it no more."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import models_installed

from faults.victim import Victim, answered, ask, code

pytestmark = pytest.mark.engine

ROOT = Path("/sys/fs/cgroup")
LIMIT_BYTES = 2**29


@pytest.fixture(autouse=True)
def _models() -> None:
    models_installed("tiny.en")


@contextlib.contextmanager
def confined(pid: int) -> Iterator[None]:
    """Have the kernel kill a process that takes more than the limit from now on."""
    controllers = ROOT / "cgroup.controllers"
    unified = controllers.exists() and "memory" in controllers.read_text().split()
    group = (ROOT if unified else ROOT / "memory") / f"whisperd-test-{uuid.uuid4().hex}"
    try:
        group.mkdir()
        name = "memory.max" if unified else "memory.limit_in_bytes"
        (group / name).write_text(str(LIMIT_BYTES))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no memory control group can be made here: {error}")
    home = next(
        ROOT / "memory" / line.split(":")[2].strip("/") if "memory" in line.split(":")[1] else ROOT
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if unified or "memory" in line.split(":")[1].split(",")
    )
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            (home / "cgroup.procs").write_text(left)
        group.rmdir()


def test_a_worker_that_the_kernel_kills_for_its_memory_is_replaced_and_its_request_answered(
    tmp_path: Path,
) -> None:
    with Victim(tmp_path) as daemon:
        main = daemon.process.pid
        with confined(daemon.worker("transcribe").pid):
            daemon.order("swallow once")
            assert answered(ask(daemon))
        assert "the transcribe worker was killed by SIGKILL; starting it again" in daemon.log()
        assert daemon.restarts("transcribe") == 1
        assert daemon.process.pid == main
        assert daemon.process.poll() is None


def test_a_recording_that_gets_no_memory_is_refused_for_now_and_the_worker_stays(tmp_path: Path) -> None:
    with Victim(tmp_path) as daemon:
        before = daemon.worker("transcribe").pid
        daemon.order("no-memory")
        reply = ask(daemon)
        assert (reply.status_code, code(reply)) == (503, "out_of_memory")
        assert int(reply.headers["Retry-After"]) >= 1
        daemon.lift()
        assert answered(ask(daemon))
        assert daemon.worker("transcribe").pid == before


def test_the_kernel_takes_a_worker_before_the_daemon(tmp_path: Path) -> None:
    with Victim(tmp_path) as daemon:
        worker = daemon.worker("transcribe").pid
        scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (daemon.process.pid, worker)]
        assert scores[0] < scores[1]
        assert scores[0] == int(Path(f"/proc/{os.getpid()}/oom_score_adj").read_text())
