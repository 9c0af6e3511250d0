"""Where NVIDIA's libraries are: in the `nvidia-*-cu12` wheels of the running environment.

A wheel puts its libraries beside its Python package, where the loader does not look, so they reach a worker
by LD_LIBRARY_PATH.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution


def wheels(search: Sequence[str] | None = None) -> "list[Distribution]":
    """The wheels of NVIDIA's CUDA 12 libraries in the directories of `search` (default `sys.path`).

    They are told by the names of their metadata directories: to read the metadata of every installed
    distribution takes over a hundred times as long.
    """
    # Imported here because a machine without a card never comes here.
    from importlib.metadata import Distribution

    directories = dict.fromkeys(Path(entry) for entry in (sys.path if search is None else search) if entry)
    return [
        Distribution.at(path)
        for directory in directories
        for path in sorted(directory.glob("nvidia_*_cu12-*.dist-info"))
    ]


def library_files(distributions: "Iterable[Distribution]") -> list[Path]:
    """The shared libraries that the wheels' own lists of files name, whether they are there or not."""
    return [
        Path(str(file.locate()))
        for distribution in distributions
        for file in distribution.files or ()
        if file.name.startswith("lib") and ".so" in file.suffixes
    ]


def library_dirs(distributions: "Iterable[Distribution]") -> list[Path]:
    """The directories of those libraries, each once, in the order of the wheels' names."""
    return list(dict.fromkeys(file.parent for file in library_files(distributions)))


def library_path(chosen: Sequence[Path], inherited: str | None) -> str:
    """LD_LIBRARY_PATH: the chosen directories, then what was inherited.

    An empty entry would mean the working directory, so none is passed on.
    """
    rest = [entry for entry in (inherited or "").split(":") if entry]
    return ":".join(dict.fromkeys([*map(str, chosen), *rest]))
