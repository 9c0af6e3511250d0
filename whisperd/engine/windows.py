"""The windows of a recording: overlapping stretches of one length, which the networks see one by one."""

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor
from torch.nn import functional


class Windows(Sequence[Tensor]):
    """Windows of `size` samples, one every `step`, of a waveform, (samples,).

    The last one reaches the end of the waveform, and as far beyond it as it needs: there it is silent.
    """

    def __init__(self, waveform: Tensor, size: int, step: int) -> None:
        self._waveform = waveform
        self._size = size
        self._step = step

    def __len__(self) -> int:
        return 1 + max(0, -(-(len(self._waveform) - self._size) // self._step))

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> Tensor: ...

    def __getitem__(self, index: int | slice) -> Tensor:
        """One window, (size,), or several, (windows, size)."""
        if isinstance(index, slice):
            return torch.stack([self[one] for one in range(*index.indices(len(self)))])
        start = index * self._step
        window = self._waveform[start : start + self._size]
        # A whole window is no copy: the allocator would give back few of so many.
        return window if len(window) == self._size else functional.pad(window, (0, self._size - len(window)))
