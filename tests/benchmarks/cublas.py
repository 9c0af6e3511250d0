"""The cuBLAS that CTranslate2 is to use: it loads CUDA 12's, `libcublas.so.12`, by that name.

Where a machine has CUDA 13's alone, a link of the wanted name leads there. The functions that CTranslate2
calls are in both, but nobody vouches for it: it is done for a measurement, and said beside it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WANTED: Final = "libcublas.so.12"
_NEXT: Final = "libcublas.so.13"


@dataclass(frozen=True, slots=True)
class Cublas:
    """Where it is, and what a process needs to find it."""

    path: Path
    directories: tuple[Path, ...]
    """For LD_LIBRARY_PATH, ahead of what is there."""

    @property
    def told(self) -> str:
        """A line for whoever reads the figures."""
        if self.path.name == WANTED:
            return f"cuBLAS: {self.path}"
        return (
            f"cuBLAS: {self.path}, CUDA 13's, by a temporary link named {WANTED}: there is none of CUDA 12. "
            "This is for the benchmark alone; whisperd does not do it"
        )


def find(links: Path) -> Cublas | None:
    """CUDA 12's, else CUDA 13's with a link in the directory `links`; None where there is neither."""
    if path := next(_places(WANTED), None):
        return Cublas(path, (path.parent,))
    if path := next(_places(_NEXT), None):
        (links / WANTED).symlink_to(path)
        # cuBLAS looks for libcublasLt beside itself, which here means beside the link.
        return Cublas(path, (links, path.parent))
    return None


def _places(name: str) -> Iterator[Path]:
    """In NVIDIA's wheels, in LD_LIBRARY_PATH, where the loader looks."""
    for entry in filter(None, sys.path):
        yield from sorted(Path(entry).glob(f"nvidia/*/lib/{name}"))
    for entry in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")):
        if (path := Path(entry, name)).exists():
            yield path
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for line in cache.splitlines():
        known, _, path_name = line.strip().partition(" => ")
        if known.split(" ")[0] == name:
            yield Path(path_name)
