"""Where CUDA's libraries are found, and which of them a process turns out to use."""

import os
from pathlib import Path

import pytest

from whisperd.config.schema import Cuda
from whisperd.cuda.environment import worker_environment
from whisperd.cuda.libraries import library_dirs, library_files, library_path, wheels
from whisperd.cuda.mapped import CHOSEN_VARIABLE, mapped_libraries, own_libraries
from whisperd.protocol import MappedLibrary


def install(site: Path, name: str, *files: str) -> None:
    """A wheel as an installer leaves it."""
    info = site / f"{name}-12.8.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 12.8.0\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file in files:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).touch()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site-packages"
    install(
        site,
        "nvidia_cublas_cu12",
        "nvidia/cublas/lib/libcublas.so.12",
        "nvidia/cublas/lib/libcublasLt.so.12",
        "nvidia/cublas/include/cublas.h",
        "nvidia/cublas/lib/__init__.py",
    )
    install(site, "nvidia_cuda_runtime_cu12", "nvidia/cuda_runtime/lib/libcudart.so.12")
    install(site, "nvidia_cublas", "nvidia/cu13/lib/libcublas.so.13")
    install(site, "nvidia_ml_py", "pynvml.py")
    install(site, "torch", "torch/lib/libtorch.so")
    return site


def test_the_wheels_of_cuda_12_are_found_and_no_others(site: Path) -> None:
    names = [wheel.metadata["Name"] for wheel in wheels([str(site), "", "/nonexistent"])]
    assert names == ["nvidia_cublas_cu12", "nvidia_cuda_runtime_cu12"]


def test_a_directory_that_is_searched_twice_counts_once(site: Path) -> None:
    assert len(wheels([str(site), str(site)])) == 2


def test_the_libraries_are_those_of_the_wheels_own_lists(site: Path) -> None:
    found = library_files(wheels([str(site)]))
    assert [file.relative_to(site).as_posix() for file in found] == [
        "nvidia/cublas/lib/libcublas.so.12",
        "nvidia/cublas/lib/libcublasLt.so.12",
        "nvidia/cuda_runtime/lib/libcudart.so.12",
    ]


def test_each_directory_of_libraries_is_named_once(site: Path) -> None:
    found = library_dirs(wheels([str(site)]))
    assert found == [site / "nvidia/cublas/lib", site / "nvidia/cuda_runtime/lib"]


@pytest.mark.parametrize(
    ("chosen", "inherited", "expected"),
    [
        ([], None, ""),
        (["/a", "/b"], None, "/a:/b"),
        (["/a"], "/c:/d", "/a:/c:/d"),
        (["/a"], "/c:/a", "/a:/c"),
        (["/a"], "", "/a"),
        (["/a"], ":/c::", "/a:/c"),
    ],
)
def test_the_chosen_directories_are_searched_before_the_inherited_ones(
    chosen: list[str], inherited: str | None, expected: str
) -> None:
    assert library_path([Path(directory) for directory in chosen], inherited) == expected


# ---- the environment of a worker -----------------------------------------------------------------


def test_a_worker_on_a_card_gets_the_libraries_configured_first(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(site)])
    made = worker_environment(
        Cuda(library_dirs=(Path("/opt/cuda/lib64"),)),
        {"LD_LIBRARY_PATH": "/inherited"},
        "cuda",
        cache=Path("/var/cache/x"),
    )
    chosen = f"/opt/cuda/lib64:{site}/nvidia/cublas/lib:{site}/nvidia/cuda_runtime/lib"
    assert made["LD_LIBRARY_PATH"] == f"{chosen}:/inherited"
    assert made[CHOSEN_VARIABLE] == chosen
    assert made["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert made["CUDA_CACHE_PATH"] == "/var/cache/x/cuda"


def test_a_worker_on_the_cpu_gets_nothing_of_cuda_and_nothing_is_searched_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def searched() -> None:
        raise AssertionError

    monkeypatch.setattr("whisperd.cuda.environment.wheels", searched)
    made = worker_environment(Cuda(), {"LD_LIBRARY_PATH": "/mine"}, "cpu", cache=Path("/x"))
    assert made["LD_LIBRARY_PATH"] == "/mine"
    assert not [name for name in made if "CUDA" in name]


def test_a_worker_stays_away_from_the_internet_whatever_the_daemon_inherited() -> None:
    wanted = {"HF_HUB_OFFLINE": "1", "PYANNOTE_METRICS_ENABLED": "0", "ORT_DISABLE_TELEMETRY": "1"}
    inherited = dict.fromkeys(wanted, "") | {"HF_HUB_OFFLINE": "0", "PYANNOTE_METRICS_ENABLED": "1"}
    made = worker_environment(Cuda(), inherited, "cpu", cache=Path("/x"))
    assert {name: made[name] for name in wanted} == wanted


def test_what_is_the_daemons_alone_does_not_reach_a_worker() -> None:
    inherited = {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "1",
        "LISTEN_FDS": "1",
        "CREDENTIALS_DIRECTORY": "/run/credentials",
        "HF_TOKEN": "secret",
        "WHISPERD_SERVER__LISTEN": "[]",
        "PATH": "/usr/bin",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    made = worker_environment(Cuda(), inherited, "cpu", cache=Path("/x"))
    assert made.keys() & inherited.keys() == {"PATH", "CUDA_VISIBLE_DEVICES"}


def test_threads_are_limited_unless_the_daemons_environment_says_otherwise() -> None:
    made = worker_environment(Cuda(), {}, "cpu", cache=Path("/x"), threads=3)
    assert (made["OMP_NUM_THREADS"], made["OPENBLAS_NUM_THREADS"]) == ("3", "1")
    tuned = worker_environment(Cuda(), {"OMP_NUM_THREADS": "8"}, "cpu", cache=Path("/x"), threads=3)
    assert tuned["OMP_NUM_THREADS"] == "8"


# ---- what is mapped ------------------------------------------------------------------------------

MAPS = """\
55d0c0a00000-55d0c0a01000 r--p 00000000 fe:01 131 /usr/bin/python3.11
7f0000000000-7f0000100000 rw-p 00000000 00:00 0
7f0001000000-7f0001100000 r--p 00000000 fe:01 140 /wheels/nvidia/cublas/lib/libcublasLt.so.12
7f0001100000-7f0001200000 r-xp 00100000 fe:01 140 /wheels/nvidia/cublas/lib/libcublasLt.so.12
7f0002000000-7f0002100000 r-xp 00000000 fe:01 141 /usr/local/cuda-12.4/lib64/libcublas.so.12.4.5
7f0003000000-7f0003100000 r-xp 00000000 fe:01 142 /usr/lib/x86_64-linux-gnu/libcuda.so.570.86.15
7f0003200000-7f0003300000 r-xp 00000000 fe:01 143 /usr/lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.1
7f0004000000-7f0004100000 r-xp 00000000 fe:01 144 /wheels/nvidia/cudnn/lib/libcudnn.so.9 (deleted)
7f0005000000-7f0005100000 r-xp 00000000 fe:01 145 /usr/lib/x86_64-linux-gnu/libcurl.so.4.8.0
7f0006000000-7f0006100000 r-xp 00000000 fe:01 146 /usr/local/cuda/lib64/stubs/libcuda.so
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 [stack]
"""


def test_mapped_libraries_are_told_apart_by_where_they_come_from() -> None:
    chosen = [Path("/wheels/nvidia/cublas/lib"), Path("/wheels/nvidia/cudnn/lib")]
    assert mapped_libraries(MAPS, chosen) == [
        MappedLibrary("/wheels/nvidia/cublas/lib/libcublasLt.so.12", chosen=True),
        MappedLibrary("/usr/local/cuda-12.4/lib64/libcublas.so.12.4.5", chosen=False),
        MappedLibrary("/usr/lib/x86_64-linux-gnu/libcuda.so.570.86.15", chosen=True),
        MappedLibrary("/usr/lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.1", chosen=True),
        MappedLibrary("/wheels/nvidia/cudnn/lib/libcudnn.so.9", chosen=True),
        MappedLibrary("/usr/local/cuda/lib64/stubs/libcuda.so", chosen=False),
    ]


def test_a_chosen_directory_may_be_a_link(tmp_path: Path) -> None:
    real = tmp_path / "cuda-12.8/lib64"
    real.mkdir(parents=True)
    (tmp_path / "cuda").symlink_to(tmp_path / "cuda-12.8")
    maps = f"7f0-7f1 r-xp 00000000 fe:01 1 {real}/libcudart.so.12.8.90\n"
    (library,) = mapped_libraries(maps, [tmp_path / "cuda/lib64"])
    assert library.chosen


def test_a_process_without_cuda_has_no_cuda_libraries() -> None:
    assert CHOSEN_VARIABLE not in os.environ
    assert own_libraries() == []
