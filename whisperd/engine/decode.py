"""Any container to 16 kHz mono float32."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from whisperd.engine import Progress
from whisperd.engine.opening import Recording, opened
from whisperd.engine.room import needing_room
from whisperd.protocol import SAMPLE_RATE_HZ, Decoded, DecodeJob, DecodeSetup

# The duration in these headers is a count of samples, not a guess from the bit rate.
_EXACT_DURATION: Final = frozenset({"w64", "flac", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "aiff"})
_TRUNCATED_S: Final = 0.25
"""Codecs pad and prime by less."""

_BYTES_PER_SAMPLE: Final = 4
_BUFFER_BYTES: Final = 2**16
"""More would save a few calls of the system, and cost pages of memory, each of which is new to a process."""
_PROGRESS_SAMPLES: Final = 60 * SAMPLE_RATE_HZ


class Decoder:
    """Decodes recordings."""

    def __init__(self, setup: DecodeSetup) -> None:
        self._max_duration_s = setup.max_duration_s

    def run(self, job: DecodeJob, progress: Progress, cancelled: Callable[[], bool]) -> Decoded:
        """Decode one recording. Raises MediaError or TooLong."""
        with opened(job.source, max_duration_s=self._max_duration_s, cancelled=cancelled) as recording:
            samples = _write(recording, Path(job.target), progress)
            return Decoded(
                samples=samples,
                container=recording.container,
                codec=recording.codec,
                source_rate_hz=recording.rate_hz,
                channels=recording.channels,
                truncated=_is_cut(recording, Path(job.source), samples / SAMPLE_RATE_HZ),
            )


def _write(recording: Recording, target: Path, progress: Progress) -> int:
    """Decode to a file; returns the number of samples. Raises Unavailable when the disk is full."""
    samples = reported = 0
    with needing_room(), target.open("wb", buffering=_BUFFER_BYTES) as file:
        for frame in recording.resampled(sample_format="flt", layout="mono", rate_hz=SAMPLE_RATE_HZ):
            file.write(memoryview(frame.planes[0])[: frame.samples * _BYTES_PER_SAMPLE])
            samples += frame.samples
            if samples - reported >= _PROGRESS_SAMPLES:
                reported = samples
                progress(samples / SAMPLE_RATE_HZ)
    return samples


def _is_cut(recording: Recording, source: Path, decoded_s: float) -> bool:
    """Whether the file broke, or ended before its own header said it would."""
    missing_s = recording.declared_s - decoded_s if recording.container in _EXACT_DURATION else 0.0
    cut = recording.broken or missing_s > _TRUNCATED_S
    return cut or (recording.container == "wav" and _riff_is_cut(source))


def _riff_is_cut(source: Path) -> bool:
    """Whether a WAV file ends before its header says; FFmpeg corrects the header in silence."""
    with source.open("rb") as file:
        header = file.read(8)
        size = file.seek(0, os.SEEK_END)
    announced = int.from_bytes(header[4:8], "little")
    # Writers to a pipe, which can't know, leave one of these.
    return announced not in (0, 0x7FFFFFFF, 0xFFFFFFFF) and announced + 8 > size + 1
