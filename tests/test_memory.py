"""How much memory is free, as the kernel tells it."""

import mmap
import os
from pathlib import Path

import pytest

from whisperd import memory


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


def test_the_kernel_says_what_it_could_give(tmp_path: Path) -> None:
    root = machine(tmp_path, {"proc/meminfo": "MemTotal: 100 kB\nMemFree: 10 kB\nMemAvailable: 40 kB\n"})
    assert memory.available(root) == 40 * 1024


def test_the_limit_of_the_service_counts_without_its_cache(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/system.slice/whisperd.service"
    root = machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/whisperd.service\n",
            f"{group}/memory.max": "1000\n",
            f"{group}/memory.current": "700\n",
            f"{group}/memory.stat": "anon 500\nfile 200\n",
        },
    )
    assert memory.below_limit(root) == 500


@pytest.mark.parametrize("files", [{}, {"sys/fs/cgroup/memory.max": "max\n"}])
def test_without_a_limit_there_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    root = machine(tmp_path, {"proc/self/cgroup": "0::/\n", **files})
    assert memory.below_limit(root) > 2**60


def test_what_a_process_took_for_itself_is_its_own_and_what_is_in_files_is_not(tmp_path: Path) -> None:
    file = tmp_path / "file"
    size = 2**25
    file.write_bytes(bytes(size))
    before = memory.own_bytes(os.getpid())
    # From the kernel: what Python takes may be room that its heap has held since an earlier test.
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with mmap.mmap(-1, size, flags=private) as taken, file.open("rb") as source:
        taken[:: mmap.PAGESIZE] = b"x" * (size // mmap.PAGESIZE)
        with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert sum(mapped[:: mmap.PAGESIZE]) == 0
            grown = memory.own_bytes(os.getpid()) - before
    assert size * 0.9 < grown < size * 1.5


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert memory.own_bytes(2**22 + 1) == 0


async def test_this_machine_has_some() -> None:
    assert 2**20 < await memory.free_bytes("cpu") < 2**50
