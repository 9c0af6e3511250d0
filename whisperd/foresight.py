"""How far it can be told when an answer will be there.

Audio still to do, by the speed that was measured, is a mean: answers come batch by batch, some recordings
have to be decoded twice, and other programs take their share of the machine. So what came of earlier
forecasts tells how much later than forecast an answer may be, as TCP tells how long to wait for one (Jacobson
and Karels, "Congestion Avoidance and Control", 1988): mean and mean deviation, averaged exponentially.
"""

from typing import Final

_GAIN: Final = 1 / 16
_DEVIATIONS: Final = 4
"""Next to no answer is later than the mean by more; it is what TCP takes, too."""

_AT_FIRST: Final = 1 / 8
"""What answers are expected to vary by until some have come."""


class Foresight:
    """What forecasts were worth of late."""

    def __init__(self) -> None:
        self._mean = 1.0
        self._deviation = _AT_FIRST

    @property
    def factor(self) -> float:
        """So many times what is forecast an answer may take; 1 or more."""
        return max(1.0, self._mean + _DEVIATIONS * self._deviation)

    def note(self, forecast_s: float, took_s: float) -> None:
        """An answer took so long, or had not come by then."""
        error = took_s / forecast_s - self._mean
        self._mean += _GAIN * error
        self._deviation += _GAIN * (abs(error) - self._deviation)
