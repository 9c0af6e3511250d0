"""What is in a recording, heard by decoding it again."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Heard:
    """A decoded recording."""

    container: str
    codec: str
    rate_hz: int
    samples: NDArray[np.float32]
    """Of shape (channels, samples)."""

    @property
    def seconds(self) -> float:
        return float(self.samples.shape[1] / self.rate_hz)

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    def level(self, frequency_hz: float, start_s: float, end_s: float, channel: int = 0) -> float:
        """The amplitude of a tone in a stretch of one channel."""
        part = self.samples[channel, round(start_s * self.rate_hz) : round(end_s * self.rate_hz)]
        turns = np.exp(-2j * np.pi * frequency_hz * np.arange(len(part)) / self.rate_hz)
        return float(2 * np.abs(np.mean(part * turns)))

    def peak(self, start_s: float = 0.0, end_s: float = float("inf")) -> float:
        """The largest magnitude of any sample in a stretch."""
        start = round(start_s * self.rate_hz)
        end = round(min(end_s, self.seconds) * self.rate_hz)
        return float(np.abs(self.samples[:, start:end]).max(initial=0.0))

    def first_sound_s(self, threshold: float = 0.05) -> float:
        """When it first is louder than that."""
        return float(np.argmax(np.abs(self.samples).max(axis=0) > threshold)) / self.rate_hz


def heard(path: Path) -> Heard:
    """Decode a recording at its own rate, with its own channels."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp")
        frames = [made for frame in container.decode(stream) for made in resampler.resample(frame)]
        return Heard(
            container=container.format.name,
            codec=stream.codec_context.name,
            rate_hz=stream.codec_context.sample_rate,
            samples=np.concatenate([frame.to_ndarray() for frame in frames], axis=1),
        )
