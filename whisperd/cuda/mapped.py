"""Which CUDA libraries a process really uses, by its own memory map."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from whisperd.protocol import MappedLibrary

CHOSEN_VARIABLE: Final = "WHISPERD_CUDA_DIRS"
"""Tells a worker the directories that were chosen for it; in LD_LIBRARY_PATH others stand behind them."""

_TOOLKIT: Final = (
    "libcublas",
    "libcudart",
    "libcudnn",
    "libcufft",
    "libcufile",
    "libcupti",
    "libcurand",
    "libcusolver",
    "libcusparse",
    "libnccl",
    "libnvJitLink",
    "libnvrtc",
    "libnvshmem",
    "libnvToolsExt",
)
_DRIVER: Final = ("libcuda.so", "libnvidia-")


def own_libraries() -> list[MappedLibrary]:
    """The CUDA libraries that this process has mapped; none for a worker that was sent to the CPU.

    There torch may load its own, and runs nothing on them.
    """
    if CHOSEN_VARIABLE not in os.environ:
        return []
    chosen = [Path(part) for part in os.environ[CHOSEN_VARIABLE].split(":") if part]
    return mapped_libraries(Path("/proc/self/maps").read_text(encoding="utf-8"), chosen)


def mapped_libraries(maps: str, chosen: Sequence[Path]) -> list[MappedLibrary]:
    """The CUDA libraries in a `/proc/PID/maps`, each once, in the order of their addresses.

    A library of the toolkit was chosen when it lies in one of the `chosen` directories. The driver's belong
    to the system and are right wherever they are, unless they are the stubs that programs are linked with.
    """
    directories = {directory.resolve() for directory in chosen}
    found: dict[str, MappedLibrary] = {}
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or not fields[5].startswith("/"):
            continue
        # An upgrade of the package replaces files that a running process keeps.
        path = Path(fields[5].removesuffix(" (deleted)"))
        if path.name.startswith(_TOOLKIT):
            right = path.parent in directories
        elif path.name.startswith(_DRIVER):
            right = path.parent.name != "stubs"
        else:
            continue
        found.setdefault(str(path), MappedLibrary(str(path), right))
    return list(found.values())
