"""What the decoder made of a chunk, whether to believe it, and how to try again.

A text that repeats itself compresses too well, one that the decoder doubts has a low log-probability: either
is decoded again at the next temperature (Whisper's paper, arXiv 2212.04356, section 4.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

REPEATED: Final = 2.4
"""Compression ratio above which a text repeats itself."""
DOUBTED: Final = -1.0
"""Average log-probability below which the decoder doubts its text."""
NO_SPEECH: Final = 0.6
"""Probability of no speech above which a doubted text is none."""

# In a window shorter than the one it was trained on, Whisper errs in ways of its own.
_FITTED_REPEATED: Final = 2.0
_FITTED_DOUBTED: Final = -0.8
_CUT_SHORT_S: Final = 1.0
"""Seconds of voice after the end of the text."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoding of a chunk."""

    tokens: tuple[int, ...]
    text: str
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    ended: bool
    """Whether the decoder came to an end by itself."""
    last_timestamp: float | None
    """Seconds; None where there is no timestamp after the first."""

    @property
    def repeats(self) -> bool:
        """Whether it says one thing over and over."""
        return self.compression_ratio > REPEATED

    @property
    def silent(self) -> bool:
        """Whether there was nothing to hear."""
        return self.no_speech_prob > NO_SPEECH and self.avg_logprob < DOUBTED

    @property
    def failed(self) -> bool:
        """Whether it has to be tried again."""
        return (self.repeats or self.avg_logprob < DOUBTED) and not self.silent

    def fits(self, voice_end: float) -> bool:
        """Whether a fitted window has done for this text, of a chunk with voice until then."""
        if not self.ended or self.silent or not self.text:
            return False
        if self.compression_ratio > _FITTED_REPEATED or self.avg_logprob < _FITTED_DOUBTED:
            return False
        end = self.last_timestamp
        return end is None or end > voice_end - _CUT_SHORT_S


@dataclass(slots=True)
class Attempts:
    """The way of one chunk to its text: the fitted window, the full one, then up the temperatures."""

    temperatures: Sequence[float]
    fitted: bool
    duration: float
    voice_end: float
    tried: list[Decoded] = field(default_factory=list)

    @property
    def temperature(self) -> float:
        """The one to try next."""
        return self.temperatures[len(self.tried)]

    def judge(self, decoded: Decoded) -> Decoded | None:
        """The text to keep, this one or one from before; None is to try again."""
        if self.fitted:
            return decoded if decoded.fits(self.voice_end) else None
        if not decoded.failed:
            return decoded
        tried = [*self.tried, decoded]
        if len(tried) < len(self.temperatures):
            return None
        return max(
            [each for each in tried if not each.repeats] or tried,
            key=lambda each: each.avg_logprob,
        )

    def refuse(self, decoded: Decoded) -> None:
        """Try again, as `fitted` and `temperature` then say."""
        if self.fitted:
            self.fitted = False
        else:
            self.tried.append(decoded)
