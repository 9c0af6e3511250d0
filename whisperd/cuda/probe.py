"""Gathers the facts: the bus, then the driver, then the engines, as far as there is reason to ask."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from whisperd.codes import without_paths
from whisperd.config.schema import Cuda
from whisperd.cuda import bus, nvml
from whisperd.cuda.answers import Engines
from whisperd.cuda.child import ChildFailed, ask
from whisperd.cuda.environment import worker_environment
from whisperd.cuda.facts import Facts, Obstacle

NO_CARD = Obstacle("this machine has no NVIDIA card", 'Set the device to "cpu" if that is meant')

AskEngines = Callable[[Mapping[str, str]], Engines]


def ask_engines(environ: Mapping[str, str]) -> Engines:
    """Ask CTranslate2 in a child. Raises ChildFailed."""
    return ask(("engines",), Engines, environ)


def probe(
    cuda: Cuda,
    environ: Mapping[str, str],
    *,
    cache: Path,
    root: Path = Path("/"),
    library: Any = None,
    engines: AskEngines = ask_engines,
) -> Facts:
    """The machine's GPUs. Blocks while a child asks the engines, if there is a card to ask about.

    `root` is where sysfs is looked for, `library` stands in for pynvml.
    """
    if not bus.visible(root):
        return Facts(obstacle=NO_CARD)
    reading = nvml.read(environ, library)
    if reading.obstacle:
        # What the bus tells is closer to the cause than what the driver's library makes of it.
        unbound = [found for card in bus.cards(root) if (found := bus.obstacle(card, root))]
        return Facts(
            driver=reading.driver, cuda=reading.cuda, obstacle=unbound[0] if unbound else reading.obstacle
        )
    facts = Facts(devices=reading.devices, driver=reading.driver, cuda=reading.cuda)
    try:
        answer = engines(worker_environment(cuda, environ, "cuda", cache=cache))
    except ChildFailed as error:
        return replace(
            facts,
            obstacle=Obstacle(f"CTranslate2 can't be asked: {without_paths(error)}", "Run whisperd doctor"),
        )
    devices = tuple(
        replace(device, compute_types=frozenset(types))
        for device, types in zip(reading.devices, answer.compute_types, strict=False)
    )
    return replace(
        facts,
        devices=devices + reading.devices[len(devices) :],
        torch_cuda=answer.torch_cuda,
        obstacle=engines_obstacle(answer),
    )


def engines_obstacle(answer: Engines) -> Obstacle | None:
    """Why CTranslate2 can't use any card; None when it can."""
    if answer.driver_error:
        return Obstacle(
            f"CUDA's driver does not start ({without_paths(answer.driver_error)})",
            "Look at the device nodes /dev/nvidia* with whisperd doctor",
        )
    if answer.cublas_error:
        return Obstacle(
            f"cuBLAS can't be loaded ({without_paths(answer.cublas_error)})",
            "Install the cuda12 package, or name the directory of libcublas.so.12 in cuda.library_dirs",
        )
    return None
