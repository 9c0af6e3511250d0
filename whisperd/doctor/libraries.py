"""CUDA's libraries, each really loaded by a child with a worker's environment."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from whisperd.cuda.answers import Engines, Loaded
from whisperd.cuda.child import ChildFailed
from whisperd.doctor.finding import Finding, State
from whisperd.doctor.machine import Machine

CTRANSLATE2: Final = ("libcublasLt.so.12", "libcublas.so.12")
"""Loaded by CTranslate2 when it first multiplies."""

TORCH: Final = (
    "libcudart.so.12",
    "libnvrtc.so.12",
    "libnvJitLink.so.12",
    "libcudnn.so.9",
    "libcufft.so.11",
    "libcurand.so.10",
    "libcusparse.so.12",
    "libcusparseLt.so.0",
    "libcusolver.so.11",
    "libcupti.so.12",
    "libcufile.so.0",
    "libnccl.so.2",
    "libnvshmem_host.so.3",
)
"""What torch for CUDA 12 is linked with, besides those."""

_REINSTALL: Final = "Install the cuda12 package again, or name another directory in cuda.library_dirs"


def check_libraries(machine: Machine) -> Iterator[Finding]:
    """Each library that an engine needs on a GPU."""
    for name in CTRANSLATE2:
        yield _check(machine, name, machine.gpu_trouble)
    engines = machine.engines
    if (
        machine.diarizes_on_gpu
        and isinstance(engines, Engines)
        and (engines.torch_cuda or "").startswith("12.")
    ):
        asked_for = machine.config.diarize.device.startswith("cuda")
        for name in TORCH:
            yield _check(machine, name, "failure" if asked_for else "warning")


def _check(machine: Machine, name: str, trouble: State) -> Finding:
    try:
        loaded = machine.ask(("load", name), Loaded, machine.worker_environ)
    except ChildFailed as error:
        return Finding("library", trouble, f"{name} broke the process that loaded it: it {error}", _REINSTALL)
    if loaded.error is not None:
        return Finding("library", trouble, *_not_loaded(machine, name, loaded.error))
    if loaded.soname != name:
        detail = f"{loaded.path} is {loaded.soname} by its own account: another major version under this name"
        return Finding("library", trouble, detail, _REINSTALL)
    if foreign := [library.path for library in loaded.libraries if not library.chosen]:
        return Finding(
            "library",
            "warning",
            f"{name} comes from elsewhere: {', '.join(foreign)}",
            "Take it out of LD_LIBRARY_PATH and LD_PRELOAD, or name its directory in cuda.library_dirs "
            "if it is meant",
        )
    return Finding("library", "ok", str(loaded.path))


def _not_loaded(machine: Machine, name: str, error: str) -> tuple[str, str]:
    """What is wrong, and the remedy. A library of another major version is close to what is missing."""
    if not re.search(rf"{re.escape(name)}: cannot open shared object file", error):
        return f"{name} can't be loaded: {error}", _REINSTALL
    stem = name.partition(".so.")[0]
    directories = [Path(entry) for entry in machine.worker_environ["LD_LIBRARY_PATH"].split(":") if entry]
    others = [str(path) for directory in directories for path in sorted(directory.glob(f"{stem}.so.*"))]
    if others:
        return f"{name} is missing; {', '.join(others)} is of the wrong major version", _REINSTALL
    return f"{name} is missing", _REINSTALL
