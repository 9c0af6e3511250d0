"""How far it can be told when an answer will be there.

Audio still to do, by the speed that was measured, is a mean: answers come batch by batch, some recordings
have to be decoded twice, and other programs take their share of the machine. So what came of earlier
forecasts tells how much later than forecast an answer may be, as TCP tells how long to wait for one (Jacobson
and Karels, "Congestion Avoidance and Control", 1988): mean and mean deviation, averaged exponentially. The
deviation is from what was expected when the forecast was made: until its answer comes many more are let in,
and they have to be safe from a change of speed by then. It grows as the square root of the time does, as
where each of many batches takes a little more or less.
"""

import math
from typing import Final

_GAIN: Final = 1 / 16
_DEVIATIONS: Final = 3
"""TCP takes 4, but packets get lost on their way, and batches do not."""

_LEAST: Final = 1.5
"""A third of the time is kept for what nothing foretells: as much of a machine's speed may go to others, for
some seconds.
"""

_AT_FIRST: Final = 1 / 3
"""What answers are expected to vary by until some have come."""


class Foresight:
    """What forecasts were worth of late."""

    def __init__(self) -> None:
        self._mean = 1.0
        """So many times what was forecast answers took."""
        self._deviation = _AT_FIRST
        """Of an answer that was forecast to take a second, in seconds."""

    def expected_s(self, forecast_s: float) -> float:
        """How long an answer will take on the average that was forecast to take so long."""
        return forecast_s * self._mean

    def latest_s(self, forecast_s: float) -> float:
        """How long it may take."""
        varying_s = _DEVIATIONS * self._deviation * math.sqrt(forecast_s)
        return max(_LEAST * forecast_s, self.expected_s(forecast_s) + varying_s)

    def note(self, forecast_s: float, expected_s: float, took_s: float) -> None:
        """An answer took so long, or had not come by then; `expected_s` is from when it was forecast."""
        self._mean += _GAIN * (took_s / forecast_s - self._mean)
        error_s = abs(took_s - expected_s) / math.sqrt(forecast_s)
        self._deviation += _GAIN * (error_s - self._deviation)
