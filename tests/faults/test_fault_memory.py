"""Memory that ends: the kernel kills a worker, or gives it no more."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.victim import Victim, answered, ask, metric, refused, unharmed

ROOT = Path("/sys/fs/cgroup")
LIMIT_BYTES = 2**29


@contextlib.contextmanager
def confined(pid: int) -> Iterator[None]:
    """Have the kernel kill a process that takes more than the limit from now on.

    This is done from outside: no memory controller is delegated to a box.
    """
    controllers = ROOT / "cgroup.controllers"
    unified = controllers.exists() and "memory" in controllers.read_text().split()
    hierarchy = ROOT if unified else ROOT / "memory"
    group = hierarchy / f"whisperd-test-{uuid.uuid4().hex}"
    try:
        group.mkdir()
        name = "memory.max" if unified else "memory.limit_in_bytes"
        (group / name).write_text(str(LIMIT_BYTES))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no memory control group can be made here: {error}")
    memberships = (line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    home = next(path for _, names, path in memberships if ("" if unified else "memory") in names.split(","))
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            (hierarchy / home.strip("/") / "cgroup.procs").write_text(left)
        group.rmdir()


def test_a_worker_that_the_kernel_kills_for_its_memory_is_replaced_and_its_request_answered(
    victim: Victim,
) -> None:
    main = victim.box.main_pid()
    with confined(victim.worker().pid):
        victim.order("swallow")
        assert answered(ask(victim))
    assert "the transcribe worker was killed by SIGKILL; starting it again" in victim.log()
    assert metric(victim, "whisperd_worker_restarts_total") == 1
    assert victim.box.main_pid() == main
    assert unharmed(victim)


def test_a_recording_that_gets_no_memory_is_refused_for_now_and_the_worker_stays(victim: Victim) -> None:
    before = victim.worker().pid
    with victim.ordered("no-memory"):
        assert refused(ask(victim)) == (503, "out_of_memory")
    assert victim.errors() == ["out_of_memory"]
    assert answered(ask(victim))
    assert victim.worker().pid == before
    assert unharmed(victim)


def test_the_kernel_takes_a_worker_before_the_daemon(victim: Victim) -> None:
    daemon, worker = (
        int(Path(f"/proc/{process.pid}/oom_score_adj").read_text())
        for process in (victim.process(), victim.worker())
    )
    assert 0 == daemon < worker
