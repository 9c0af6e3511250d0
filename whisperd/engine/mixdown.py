"""Several recordings in one, each after its delay, as stereo MP3.

Levels are added as they are. Where the sum exceeds full scale, a limiter turns it down for as long as that
lasts: neither wrapped around nor clipped. A sum that stays below passes unchanged.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.filter import Graph

from whisperd.engine import Progress
from whisperd.engine.opening import Recording, opened
from whisperd.engine.stereo import CHANNELS, Block, read, silence, writing
from whisperd.errors import MediaError, ParameterError
from whisperd.protocol import DecodeSetup, Encoded, MixJob

RATES_HZ: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""What MP3 can carry."""

_FULL_SCALE: Final = "1"
_ATTACK_MS: Final = "5"
_RELEASE_MS: Final = "50"


class Mixer:
    """Mixes recordings."""

    def __init__(self, setup: DecodeSetup) -> None:
        self._max_duration_s = setup.max_duration_s

    def run(self, job: MixJob, progress: Progress, cancelled: Callable[[], bool]) -> Encoded:
        """Mix recordings, as long as the one that ends last. Raises ParameterError, MediaError, TooLong."""
        _check(job)
        with contextlib.ExitStack() as stack:
            recordings = []
            for number, source in enumerate(job.sources, start=1):
                with _named(number):
                    recording = opened(source, max_duration_s=self._max_duration_s, cancelled=cancelled)
                    recordings.append(stack.enter_context(recording))
            rate_hz = job.sample_rate_hz or _nearest(recordings[0].rate_hz)
            tracks = [
                itertools.chain(
                    silence(round(delay_s * rate_hz), rate_hz), _track(number, recording, rate_hz)
                )
                for number, (recording, delay_s) in enumerate(
                    zip(recordings, job.delays_s, strict=True), start=1
                )
            ]
            writer = stack.enter_context(
                writing(
                    job.target,
                    container="mp3",
                    codec="libmp3lame",
                    rate_hz=rate_hz,
                    progress=progress,
                    cancelled=cancelled,
                )
            )
            for block in _limited(_mixed(tracks, rate_hz), rate_hz):
                writer.write(block)
        return Encoded(writer.duration_s)


def _check(job: MixJob) -> None:
    if not job.sources:
        raise ParameterError("there are no recordings to mix")
    if job.sample_rate_hz is not None and job.sample_rate_hz not in RATES_HZ:
        allowed = ", ".join(str(rate) for rate in RATES_HZ)
        raise ParameterError(f"the sample rate of an MP3 can't be {job.sample_rate_hz}; it can be {allowed}")


def _nearest(rate_hz: int) -> int:
    """The rate that MP3 can carry; the higher of two that are as near."""
    return min(RATES_HZ, key=lambda rate: (abs(rate - rate_hz), -rate))


@contextlib.contextmanager
def _named(number: int) -> Iterator[None]:
    """Say with an error which recording it is about."""
    try:
        yield
    except MediaError as error:
        raise type(error)(f"track {number}: {error.message}") from error


def _track(number: int, recording: Recording, rate_hz: int) -> Iterator[Block]:
    with _named(number):
        yield from read(recording, rate_hz)


def _mixed(tracks: Sequence[Iterator[Block]], rate_hz: int) -> Iterator[Block]:
    """The sum, a second at a time, of which no track gives more than that beforehand."""
    readers = [_Reader(track) for track in tracks]
    while True:
        blocks = [reader.next(rate_hz) for reader in readers]
        samples = max(block.shape[1] for block in blocks)
        if not samples:
            return
        mix: Block = np.zeros((CHANNELS, samples), np.float32)
        for block in blocks:
            mix[:, : block.shape[1]] += block
        yield mix


class _Reader:
    """Blocks of any size, taken in another."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self._rest: Block = np.zeros((CHANNELS, 0), np.float32)

    def next(self, samples: int) -> Block:
        """So many samples, or fewer at the end."""
        taken = [self._rest]
        have = self._rest.shape[1]
        while have < samples and (block := next(self._blocks, None)) is not None:
            taken.append(block)
            have += block.shape[1]
        whole = np.concatenate(taken, axis=1)
        self._rest = whole[:, samples:]
        return whole[:, :samples]


def _limited(blocks: Iterator[Block], rate_hz: int) -> Iterator[Block]:
    graph = Graph()
    time_base = Fraction(1, rate_hz)
    graph.link_nodes(
        graph.add_abuffer(sample_rate=rate_hz, format="fltp", layout="stereo", time_base=time_base),
        graph.add(
            "alimiter",
            limit=_FULL_SCALE,
            level="disabled",  # or it would raise what is quiet
            latency="enabled",  # it looks ahead, and gives that time back
            attack=_ATTACK_MS,
            release=_RELEASE_MS,
        ),
        graph.add("aformat", sample_fmts="fltp"),
        graph.add("abuffersink"),
    ).configure()
    samples = 0
    for block in blocks:
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, samples, time_base
        samples += block.shape[1]
        graph.push(frame)
        yield from _pulled(graph)
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[Block]:
    """All that a graph has ready."""
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield np.asarray(frame.to_ndarray(), np.float32)
