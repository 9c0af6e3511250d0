"""The engines themselves: do they load, and were they built for the same CUDA?"""

from collections.abc import Iterator
from typing import Final

from whisperd.cuda.answers import Engines, Torch
from whisperd.cuda.child import ChildFailed
from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine

_REINSTALL: Final = "Install the package again"


def check_engines(machine: Machine) -> Iterator[Finding]:
    """CTranslate2, and torch where speakers are told apart."""
    engines = machine.engines
    if isinstance(engines, ChildFailed):
        yield Finding("CTranslate2", "failure", f"it does not load: {engines}", _REINSTALL)
    else:
        yield Finding(
            "CTranslate2", "ok", f"{engines.ctranslate2}, built for {_cuda(engines.ctranslate2_cuda)}"
        )
    if not machine.config.diarize.enabled:
        return
    try:
        torch = machine.ask(("torch",), Torch, machine.worker_environ)
    except ChildFailed as error:
        yield Finding("torch", "failure", f"it does not load: {error}", _REINSTALL)
        return
    yield Finding("torch", "ok", f"{torch.version}, built for {_cuda(torch.cuda)}")
    if isinstance(engines, Engines) and torch.cuda and machine.gpu != "unwanted":
        yield from _check_majors(engines.ctranslate2_cuda, torch.cuda)


def _check_majors(ctranslate2: int | None, torch: str) -> Iterator[Finding]:
    if torch.partition(".")[0] != str(ctranslate2):
        yield Finding(
            "CUDA versions",
            "warning",
            f"CTranslate2 was built for CUDA {ctranslate2} and torch for {torch}: each needs its own",
            "Install the cuda12 package, whose engines share one CUDA",
        )


def _cuda(version: int | str | None) -> str:
    return f"CUDA {version}" if version else "the CPU"
