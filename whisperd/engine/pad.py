"""A recording after a stretch of silence, as WebM with Opus: tracks of a meeting made to start together."""

import itertools
import math
from collections.abc import Callable
from typing import Final

from whisperd.engine import Progress
from whisperd.engine.opening import opened
from whisperd.engine.stereo import read, silence, writing
from whisperd.protocol import DecodeSetup, Encoded, PadJob

RATE_HZ: Final = 48_000
BIT_RATE: Final = 128_000


class Padder:
    """Pads recordings."""

    def __init__(self, setup: DecodeSetup) -> None:
        self._max_duration_s = setup.max_duration_s

    def run(self, job: PadJob, progress: Progress, cancelled: Callable[[], bool]) -> Encoded:
        """Pad one recording by whole milliseconds, rounded down. Raises MediaError or TooLong."""
        samples = math.floor(job.silence_s * 1000) * RATE_HZ // 1000
        with (
            opened(
                job.source,
                max_duration_s=self._max_duration_s,
                cancelled=cancelled,
                without_audio="No audio stream in input",
            ) as recording,
            writing(
                job.target,
                container="webm",
                codec="libopus",
                rate_hz=RATE_HZ,
                bit_rate=BIT_RATE,
                progress=progress,
                cancelled=cancelled,
            ) as writer,
        ):
            for block in itertools.chain(silence(samples, RATE_HZ), read(recording, RATE_HZ)):
                writer.write(block)
        return Encoded(writer.duration_s)
