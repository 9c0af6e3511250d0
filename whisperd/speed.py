"""How fast work goes: seconds of audio that are done in a second of work."""

import math
from typing import Final

_MEMORY_S: Final = 60.0
"""Work that is so long ago counts a third."""
_TRUST_S: Final = 2.0
"""The start value counts as much as so much work."""
_LEAST: Final = 0.05
"""Of the start value: a worker that hangs for a while is not taken for one that never ends."""


class Speed:
    """An exponential average over the time in which there was work."""

    def __init__(self, start: float) -> None:
        """`start` is what is taken before anything was measured."""
        self._start = start
        self._audio_s = start * _TRUST_S
        self._wall_s = _TRUST_S

    @property
    def value(self) -> float:
        """Seconds of audio a second."""
        return max(self._audio_s / self._wall_s, self._start * _LEAST)

    def note(self, audio_s: float, wall_s: float) -> None:
        """So much audio was done in so much time."""
        fading = math.exp(-wall_s / _MEMORY_S)
        self._audio_s = self._audio_s * fading + audio_s
        self._wall_s = self._wall_s * fading + wall_s
