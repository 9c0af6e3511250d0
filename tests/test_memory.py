"""How much memory is free, as the kernel tells it."""

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


async def test_this_machine_has_some() -> None:
    assert 2**20 < await memory.free_bytes("cpu") < 2**50
