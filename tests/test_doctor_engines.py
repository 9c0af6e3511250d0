"""The doctor on CUDA's libraries and the engines."""

from pathlib import Path
from typing import Any

import pytest
from conftest import changed
from fake_machine import FakeEngines, loads, machine, states
from fake_nvidia import ENGINES, FakeRoot
from msgspec.structs import replace

from whisperd.config.schema import Config
from whisperd.cuda.answers import Loaded, Torch
from whisperd.cuda.child import ChildFailed
from whisperd.doctor.engines import check_engines
from whisperd.doctor.finding import Finding, State
from whisperd.doctor.libraries import CTRANSLATE2, TORCH, check_libraries
from whisperd.protocol import MappedLibrary


@pytest.fixture
def root(tmp_path: Path) -> FakeRoot:
    root = FakeRoot(tmp_path / "root")
    root.add_pci_device()
    return root


def missing(name: str) -> Loaded:
    return Loaded(error=f"{name}: cannot open shared object file: No such file or directory")


def library_findings(
    config: Config, root: FakeRoot, *, device: str = "cuda", **libraries: Loaded | ChildFailed
) -> list[Finding]:
    """With `libcublas_so_12=...` for a library that fares otherwise."""
    told = {name.replace("_so_", ".so."): answer for name, answer in libraries.items()}
    made = machine(changed(config, "transcribe", device=device), root, ask=FakeEngines(libraries=told))
    return [finding for finding in check_libraries(made) if finding.state != "ok"]


def test_every_library_of_both_engines_is_loaded(config: Config, root: FakeRoot) -> None:
    ask = FakeEngines()
    assert set(states(list(check_libraries(machine(config, root, ask=ask))))) == {"ok"}
    assert ask.loaded == [*CTRANSLATE2, *TORCH]


@pytest.mark.parametrize(
    "changes",
    [
        {"diarize": {"enabled": False}},
        {"diarize": {"device": "cpu"}},
        {"transcribe": {"device": "cuda"}, "diarize": {"device": "cpu"}},
    ],
)
def test_torchs_libraries_matter_only_where_torch_uses_a_gpu(
    config: Config, root: FakeRoot, changes: dict[str, dict[str, Any]]
) -> None:
    for section, options in changes.items():
        config = changed(config, section, **options)
    ask = FakeEngines()
    list(check_libraries(machine(config, root, ask=ask)))
    assert ask.loaded == [*CTRANSLATE2]


def test_a_torch_without_cuda_has_no_libraries(config: Config, root: FakeRoot) -> None:
    ask = FakeEngines(replace(ENGINES, torch_cuda=None))
    list(check_libraries(machine(config, root, ask=ask)))
    assert ask.loaded == [*CTRANSLATE2]


@pytest.mark.parametrize(("device", "state"), [("cuda", "failure"), ("auto", "warning")])
def test_a_missing_library_is_told(config: Config, root: FakeRoot, device: str, state: State) -> None:
    (finding,) = library_findings(config, root, device=device, libcublas_so_12=missing("libcublas.so.12"))
    assert (finding.state, finding.detail) == (state, "libcublas.so.12 is missing")
    assert "cuda.library_dirs" in (finding.remedy or "")


def test_a_library_of_torch_that_is_missing_leaves_the_transcription_running(
    config: Config, root: FakeRoot
) -> None:
    (finding,) = library_findings(config, root, libcudnn_so_9=missing("libcudnn.so.9"))
    assert finding.state == "warning"
    config = changed(config, "diarize", device="cuda")
    (finding,) = library_findings(config, root, libcudnn_so_9=missing("libcudnn.so.9"))
    assert finding.state == "failure"


def test_another_major_version_in_the_place_of_a_missing_library_is_named(
    config: Config, root: FakeRoot, tmp_path: Path
) -> None:
    (tmp_path / "libcublas.so.13").touch()
    config = changed(config, "cuda", library_dirs=(tmp_path,))
    (finding,) = library_findings(config, root, libcublas_so_12=missing("libcublas.so.12"))
    assert f"{tmp_path}/libcublas.so.13 is of the wrong major version" in finding.detail


def test_another_major_version_under_the_right_name_is_seen_through(config: Config, root: FakeRoot) -> None:
    renamed = Loaded(path="/x/libcublas.so.12", soname="libcublas.so.11")
    (finding,) = library_findings(config, root, libcublas_so_12=renamed)
    assert finding.state == "failure"
    assert "/x/libcublas.so.12 is libcublas.so.11 by its own account" in finding.detail


@pytest.mark.parametrize(
    "broken",
    [
        Loaded(error="/wheels/libcublas.so.12: file too short"),
        Loaded(error="libcublasLt.so.12: undefined symbol: cublasLtCreate, version libcublasLt.so.12"),
        ChildFailed("was killed by SIGSEGV"),
    ],
    ids=["empty", "mismatched", "crashing"],
)
def test_a_broken_library_is_told_in_the_loaders_words(
    config: Config, root: FakeRoot, broken: Loaded | ChildFailed
) -> None:
    (finding,) = library_findings(config, root, libcublas_so_12=broken)
    assert finding.state == "failure"
    assert str(broken.error if isinstance(broken, Loaded) else broken) in finding.detail


def test_a_library_from_elsewhere_is_named_and_so_is_what_it_brings_along(
    config: Config, root: FakeRoot
) -> None:
    foreign = loads("libcublas.so.12", directory="/usr/local/cuda/lib64", chosen=False)
    (finding,) = library_findings(config, root, libcublas_so_12=foreign)
    assert finding.state == "warning"
    assert finding.detail == "libcublas.so.12 comes from elsewhere: /usr/local/cuda/lib64/libcublas.so.12"
    brought = replace(
        loads("libcublas.so.12"), libraries=[MappedLibrary("/opt/libcublasLt.so.12", chosen=False)]
    )
    (finding,) = library_findings(config, root, libcublas_so_12=brought)
    assert "/opt/libcublasLt.so.12" in finding.detail


# ---- the engines ---------------------------------------------------------------------------------


def test_engines_that_load_are_told_with_their_versions(config: Config) -> None:
    details = [finding.detail for finding in check_engines(machine(config))]
    assert details == ["4.8.5, built for CUDA 12", "2.10.0, built for CUDA 12.8"]


def test_an_engine_that_does_not_load_is_a_failure(config: Config) -> None:
    ask = FakeEngines(ChildFailed("ImportError: no"), ChildFailed("OSError: no"))
    assert states(list(check_engines(machine(config, ask=ask)))) == ["failure", "failure"]


def test_torch_is_left_alone_where_nobody_tells_speakers_apart(config: Config) -> None:
    ask = FakeEngines(torch=ChildFailed("OSError: no"))
    findings = list(check_engines(machine(changed(config, "diarize", enabled=False), ask=ask)))
    assert states(findings) == ["ok"]


def test_engines_for_two_versions_of_cuda_are_told(config: Config) -> None:
    ask = FakeEngines(torch=Torch(version="2.13.0", cuda="13.0"))
    finding = list(check_engines(machine(config, ask=ask)))[-1]
    assert (finding.name, finding.state) == ("CUDA versions", "warning")
    for_cpu = machine(changed(config, "transcribe", device="cpu"), ask=ask)
    assert states(list(check_engines(for_cpu))) == ["ok", "ok"]


def test_a_torch_for_the_cpu_shares_no_cuda_that_could_differ(config: Config) -> None:
    ask = FakeEngines(torch=Torch(version="2.13.0+cpu", cuda=None))
    findings = list(check_engines(machine(config, ask=ask)))
    assert states(findings) == ["ok", "ok"]
    assert findings[1].detail == "2.13.0+cpu, built for the CPU"
