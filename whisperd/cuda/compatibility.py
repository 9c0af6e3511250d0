"""What the engines' builds ask of a card and its driver. The numbers belong to the pinned versions."""

from typing import Final

from whisperd.cuda.facts import Device, Facts, Obstacle

# CTranslate2 4.8.5, by the code in its library: machine code from 5.3 to 8.6 (which runs on 8.9 too), and for
# anything newer PTX of CUDA 12.8, which the driver must be able to compile. Machine code for 5.3 runs on no
# desktop card of that generation.
_CTRANSLATE2_OLDEST: Final = (5, 3)
_CTRANSLATE2_COMPILED_FROM: Final = (9, 0)
_DRIVER_CUDA: Final = (12, 0)
_DRIVER_CUDA_TO_COMPILE: Final = (12, 8)

# torch 2.10, as built for CUDA 12.8: machine code from 7.0 to 12.0.
_TORCH_OLDEST: Final = (7, 0)

_DRIVER_OF: Final = {_DRIVER_CUDA: "525", _DRIVER_CUDA_TO_COMPILE: "570"}


def ctranslate2_obstacle(device: Device, facts: Facts) -> Obstacle | None:
    """Why CTranslate2 can't use the card; None when it can."""
    if device.capability < _CTRANSLATE2_OLDEST:
        return _too_old(device, "CTranslate2", _CTRANSLATE2_OLDEST)
    return driver_obstacle(device, facts)


def torch_obstacle(device: Device, facts: Facts) -> Obstacle | None:
    """Why torch can't use the card; None when it can."""
    if facts.torch_cuda is None:
        return Obstacle("the installed torch is built for the CPU alone", "Install the cuda12 package")
    if device.capability < _TORCH_OLDEST:
        return _too_old(device, "torch", _TORCH_OLDEST)
    return driver_obstacle(device, facts)


def driver_obstacle(device: Device, facts: Facts) -> Obstacle | None:
    """Why the driver is too old for the engines on this card; None when it is not."""
    compiles = device.capability >= _CTRANSLATE2_COMPILED_FROM
    needed = _DRIVER_CUDA_TO_COMPILE if compiles else _DRIVER_CUDA
    if facts.cuda is None or facts.cuda >= needed:
        return None
    return Obstacle(
        f"driver {facts.driver} runs CUDA up to {dotted(facts.cuda)}, and {device} "
        f"(compute capability {dotted(device.capability)}) needs {dotted(needed)}",
        f"Upgrade NVIDIA's driver to {_DRIVER_OF[needed]} or newer",
    )


def dotted(version: tuple[int, int]) -> str:
    """As people write it: 12.8."""
    return f"{version[0]}.{version[1]}"


def _too_old(device: Device, engine: str, oldest: tuple[int, int]) -> Obstacle:
    return Obstacle(
        f"{device} has compute capability {dotted(device.capability)}, "
        f"and {engine} has code for {dotted(oldest)} and newer",
        "Use a newer card, or the CPU",
    )
