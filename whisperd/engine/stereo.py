"""Stereo sound in blocks, float32 of shape (2, samples): read from recordings, encoded to new ones."""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final, TypeAlias

import av
import numpy as np
from numpy.typing import NDArray

from whisperd.engine import Cancelled, Progress
from whisperd.engine.opening import Recording

Block: TypeAlias = NDArray[np.float32]
CHANNELS: Final = 2


def read(recording: Recording, rate_hz: int) -> Iterator[Block]:
    """The recording at a rate; one of a single channel is as loud on both sides as it was."""
    if recording.channels == 1:
        # FFmpeg would spread its power over the two, 3 dB down on each.
        for frame in recording.resampled(sample_format="fltp", layout="mono", rate_hz=rate_hz):
            yield np.repeat(frame.to_ndarray(), CHANNELS, axis=0)
    else:
        for frame in recording.resampled(sample_format="fltp", layout="stereo", rate_hz=rate_hz):
            yield frame.to_ndarray()


def silence(samples: int, rate_hz: int) -> Iterator[Block]:
    """Silence, in blocks of a second at most."""
    second: Block = np.zeros((CHANNELS, rate_hz), np.float32)
    for start in range(0, samples, rate_hz):
        yield second[:, : samples - start]


class Writer:
    """A recording that is being written."""

    def __init__(
        self, container: Any, stream: Any, progress: Progress, cancelled: Callable[[], bool]
    ) -> None:
        self._container = container
        self._stream = stream
        self._progress = progress
        self._cancelled = cancelled
        self._reported = 0
        self.rate_hz: int = stream.rate
        self.samples = 0

    def write(self, block: Block) -> None:
        """Encode a block of a second at most. Raises Cancelled."""
        if self._cancelled():
            raise Cancelled
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="stereo")
        frame.sample_rate = self.rate_hz
        frame.pts, frame.time_base = self.samples, Fraction(1, self.rate_hz)
        self._container.mux(self._stream.encode(frame))
        self.samples += block.shape[1]
        if self.samples - self._reported >= self.rate_hz:
            self._reported = self.samples
            self._progress(self.duration_s)

    @property
    def duration_s(self) -> float:
        """Seconds written so far."""
        return self.samples / self.rate_hz


@contextlib.contextmanager
def writing(
    target: str,
    *,
    container: str,
    codec: str,
    rate_hz: int,
    bit_rate: int = 0,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> Iterator[Writer]:
    """Write a stereo recording, complete once the context is left. A bit rate of 0 is the encoder's own."""
    with av.open(target, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout="stereo", bit_rate=bit_rate)
        yield Writer(file, stream, progress, cancelled)
        file.mux(stream.encode(None))
