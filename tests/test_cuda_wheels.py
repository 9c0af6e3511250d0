"""NVIDIA's real wheels, in an environment of their own, and what becomes of broken ones.

They load without a card, so everything up to the driver can be tried anywhere.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import changed
from fake_machine import machine
from fake_nvidia import FakeNvml, FakeRoot

import whisperd
from whisperd.config.schema import Config, Cuda
from whisperd.cuda.answers import Engines, Loaded
from whisperd.cuda.child import ask
from whisperd.cuda.environment import worker_environment
from whisperd.cuda.probe import probe
from whisperd.doctor.finding import Finding
from whisperd.doctor.libraries import CTRANSLATE2, check_libraries

pytestmark = pytest.mark.engine

PROJECT = Path(whisperd.__file__).parents[1]
KEPT = PROJECT / ".state" / "cuda-wheels"
LOCK = PROJECT / "packaging" / "locks" / "cuda12.txt"
LOCKED = ("nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12")
ANOTHER_MAJOR = "nvidia-cuda-runtime-cu11==11.8.89"


@pytest.fixture(scope="session")
def environment() -> Path:
    """An environment that has the locked wheels, besides all that this one has. Kept, since it is large."""
    requirements = "\n".join(locked(name) for name in LOCKED)
    made = KEPT / "complete.txt"
    if made.exists() and made.read_text() == requirements:
        return KEPT
    shutil.rmtree(KEPT, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(KEPT)], check=True)
    (site(KEPT) / "this.pth").write_text(f"{sysconfig.get_path('purelib')}\n{PROJECT}\n")
    (KEPT / "requirements.txt").write_text(requirements)
    install(KEPT, "--require-hashes", "-r", str(KEPT / "requirements.txt"))
    install(KEPT, "--target", str(KEPT / "another"), ANOTHER_MAJOR)
    made.write_text(requirements)
    return KEPT


def locked(name: str) -> str:
    """A package's entry in the lock, with its hashes."""
    entry = re.search(rf"^{name}==.*?(?<!\\)\n", LOCK.read_text(), re.MULTILINE | re.DOTALL)
    assert entry
    return entry[0]


def install(environment: Path, *arguments: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-compile", "--no-cache-dir", *arguments], check=True)


def site(environment: Path) -> Path:
    return next(environment.glob("lib/python3.*/site-packages"))


@pytest.fixture
def cublas(environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of cuBLAS, in an environment that is searched from now on."""
    monkeypatch.syspath_prepend(str(site(environment)))
    return site(environment) / "nvidia/cublas/lib"


@pytest.fixture
def elsewhere(environment: Path) -> Iterator[Path]:
    """Another directory with the same cuBLAS, on the same file system."""
    directory = environment / "elsewhere"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for name in CTRANSLATE2:
        (directory / name).hardlink_to(site(environment) / "nvidia/cublas/lib" / name)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A directory that is searched first."""
    directory = tmp_path / "broken"
    directory.mkdir()
    return directory


def worker(*library_dirs: Path, **environ: str) -> dict[str, str]:
    return worker_environment(
        Cuda(library_dirs=library_dirs), {**os.environ, **environ}, "cuda", cache=Path("/nonexistent")
    )


def diagnosed(config: Config, tmp_path: Path, *library_dirs: Path, **environ: str) -> list[Finding]:
    """What the doctor says of libraries, on a machine with a made-up card and a real loader."""
    root = FakeRoot(tmp_path / "root")
    root.add_pci_device()
    config = changed(config, "transcribe", device="cuda")
    config = changed(config, "cuda", library_dirs=library_dirs)
    made = machine(config, root, ask=ask, environ={**os.environ, **environ})
    return list(check_libraries(made))


# ---- whole ones ----------------------------------------------------------------------------------


def test_an_environment_finds_the_wheels_that_are_installed_in_it(environment: Path) -> None:
    program = "from whisperd.cuda.libraries import *; print(*library_dirs(wheels()), sep='\\n')"
    found = subprocess.run(
        [environment / "bin/python", "-c", program], capture_output=True, text=True, check=True
    )
    packages = site(environment) / "nvidia"
    assert found.stdout.splitlines() == [f"{packages}/cublas/lib", f"{packages}/cuda_runtime/lib"]


@pytest.mark.parametrize("name", [*CTRANSLATE2, "libcudart.so.12"])
def test_a_library_loads_in_a_worker_and_nowhere_else(cublas: Path, name: str) -> None:
    assert "cannot open shared object file" in (ask(("load", name), Loaded, os.environ).error or "")
    loaded = ask(("load", name), Loaded, worker())
    assert loaded.error is None
    assert loaded.path is not None
    assert Path(loaded.path).is_relative_to(cublas.parents[1])
    assert loaded.soname == name


@pytest.mark.usefixtures("cublas")
def test_a_worker_reports_the_libraries_of_its_own_wheels(cublas: Path) -> None:
    loaded = ask(("load", "libcublas.so.12"), Loaded, worker())
    assert {(library.path, library.chosen) for library in loaded.libraries} == {
        (str(cublas / name), True) for name in CTRANSLATE2
    }


@pytest.mark.usefixtures("cublas")
def test_ctranslate2_has_its_cublas_in_a_worker_and_nowhere_else() -> None:
    assert "libcublasLt.so.12" in (ask(("engines",), Engines, os.environ).cublas_error or "")
    engines = ask(("engines",), Engines, worker())
    assert engines.cublas_error is None
    assert engines.driver_error is not None or engines.compute_types


@pytest.mark.usefixtures("cublas")
def test_with_every_library_in_place_only_the_driver_is_missing(tmp_path: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a driver")
    root = FakeRoot(tmp_path)
    root.add_pci_device()
    facts = probe(Cuda(), os.environ, cache=tmp_path, root=root.path, library=FakeNvml())
    assert facts.obstacle is not None
    assert facts.obstacle.reason.startswith("CUDA's driver does not start (libcuda.so.1: cannot open")


@pytest.mark.usefixtures("cublas")
def test_the_doctor_finds_nothing_wrong_with_whole_wheels(config: Config, tmp_path: Path) -> None:
    assert [finding.state for finding in diagnosed(config, tmp_path)] == ["ok", "ok"]


# ---- broken ones ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("cublas")
def test_an_empty_library_is_found_out(config: Config, tmp_path: Path, broken: Path) -> None:
    (broken / "libcublas.so.12").touch()
    whole, empty = diagnosed(config, tmp_path, broken)
    assert (whole.state, empty.state) == ("ok", "failure")
    assert empty.detail == f"libcublas.so.12 can't be loaded: {broken}/libcublas.so.12: file too short"


def test_a_library_that_was_cut_off_is_found_out(
    config: Config, tmp_path: Path, broken: Path, cublas: Path
) -> None:
    with (cublas / "libcublas.so.12").open("rb") as whole:
        (broken / "libcublas.so.12").write_bytes(whole.read(1_000_000))
    finding = diagnosed(config, tmp_path, broken)[1]
    assert finding.state == "failure"
    assert "libcublas.so.12" in finding.detail


@pytest.mark.usefixtures("cublas")
def test_a_library_of_another_major_under_the_right_name_is_found_out(
    config: Config, tmp_path: Path, broken: Path, environment: Path
) -> None:
    another = environment / "another/nvidia/cuda_runtime/lib/libcudart.so.11.0"
    shutil.copy(another, broken / "libcublas.so.12")
    finding = diagnosed(config, tmp_path, broken)[1]
    assert finding.state == "failure"
    assert finding.detail.startswith(f"{broken}/libcublas.so.12 is libcudart.so.11.0 by its own account")


def test_a_library_that_is_missing_is_told_with_the_one_of_another_major(
    config: Config, tmp_path: Path, broken: Path
) -> None:
    (broken / "libcublas.so.11").touch()
    lt, cublas = diagnosed(config, tmp_path, broken)
    assert (lt.state, lt.detail) == ("failure", "libcublasLt.so.12 is missing")
    assert cublas.detail == (
        f"libcublas.so.12 is missing; {broken}/libcublas.so.11 is of the wrong major version"
    )


def test_a_library_that_only_the_system_has_is_used_and_named(
    config: Config, tmp_path: Path, elsewhere: Path
) -> None:
    findings = diagnosed(config, tmp_path, LD_LIBRARY_PATH=str(elsewhere))
    assert [finding.state for finding in findings] == ["warning", "warning"]
    assert findings[0].detail == f"libcublasLt.so.12 comes from elsewhere: {elsewhere}/libcublasLt.so.12"


def test_the_wheels_come_before_the_system(cublas: Path, elsewhere: Path) -> None:
    loaded = ask(("load", "libcublas.so.12"), Loaded, worker(LD_LIBRARY_PATH=str(elsewhere)))
    assert loaded.path == str(cublas / "libcublas.so.12")


@pytest.mark.usefixtures("cublas")
def test_a_configured_directory_comes_before_the_wheels(elsewhere: Path) -> None:
    loaded = ask(("load", "libcublas.so.12"), Loaded, worker(elsewhere))
    assert loaded.path == str(elsewhere / "libcublas.so.12")
    assert all(library.chosen for library in loaded.libraries)


@pytest.mark.usefixtures("cublas")
def test_a_library_that_pushes_in_is_used_and_named(config: Config, tmp_path: Path, elsewhere: Path) -> None:
    findings = diagnosed(config, tmp_path, LD_PRELOAD=str(elsewhere / "libcublasLt.so.12"))
    assert [finding.state for finding in findings] == ["warning", "warning"]
    assert f"{elsewhere}/libcublasLt.so.12" in findings[1].detail
