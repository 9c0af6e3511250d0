"""A decoded recording on disk, of which only what is asked for is in memory.

A mapped file would count as the worker's memory, all of it in the end.
"""

from pathlib import Path
from typing import Self

import numpy as np

from whisperd.engine.chunks import Audio

_BYTES = np.dtype(np.float32).itemsize


class Samples:
    """So many samples of a file: sliced like an array, for one thread."""

    def __init__(self, path: Path, count: int) -> None:
        self._file = path.open("rb")
        self._count = count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, span: slice) -> Audio:
        start, stop, _ = span.indices(self._count)
        self._file.seek(start * _BYTES)
        return np.fromfile(self._file, np.float32, max(0, stop - start))
