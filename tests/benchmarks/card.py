"""What NVIDIA's first card does, as its driver's management library samples it; no CUDA is needed to ask."""

import threading
import time
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import pynvml

_PAUSE_S: Final = 0.05


class Sample(NamedTuple):
    """One look at the card."""

    at: float
    """By the monotonic clock, which all processes share."""
    busy: float
    """Percent of the driver's last sampling period in which a kernel ran."""
    used_bytes: int


class Card:
    """A thread that looks at the card until it is left."""

    def __init__(self, nvml: Any = pynvml) -> None:
        self._nvml = nvml
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._nvml.nvmlInit()
        self._handle = self._nvml.nvmlDeviceGetHandleByIndex(0)
        self._samples.append(self.look())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()
        self._nvml.nvmlShutdown()

    def look(self) -> Sample:
        """What it does at this moment."""
        busy = self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
        return Sample(time.monotonic(), busy, self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)

    def between(self, start: float, end: float) -> list[Sample]:
        """What was seen meanwhile."""
        return [sample for sample in self._samples if start <= sample.at <= end]

    def _watch(self) -> None:
        while not self._left.wait(_PAUSE_S):
            self._samples.append(self.look())
