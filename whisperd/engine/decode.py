"""Any container to 16 kHz mono float32, by PyAV (which carries its own FFmpeg).

The bytes come from anyone. Only the demuxers named here may look at them: FFmpeg has others that open
further files or addresses which a recording names (`ffconcat`, SDP, HLS).
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import av
import av.error
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from whisperd.engine import Cancelled, Progress
from whisperd.errors import MediaError, TooLong
from whisperd.protocol import SAMPLE_RATE_HZ, Decoded, DecodeJob, DecodeSetup, Ready

CONTAINERS: Final = {
    "wav": "wav,w64",
    "mp3": "mp3",
    "flac": "flac",
    "ogg/opus": "ogg",
    "mp4/m4a/mov": "mov,mp4,m4a,3gp,3g2,mj2",
    "webm/mkv": "matroska,webm",
    "aac": "aac",
    "aiff": "aiff",
    "caf": "caf",
    "amr": "amr,amrnb,amrwb",
    "au": "au",
    "avi": "avi",
    "mpeg-ts": "mpegts",
    "asf/wma": "asf",
}

_OPTIONS: Final = {
    "format_whitelist": ",".join(CONTAINERS.values()),
    "protocol_whitelist": "file",
}

# The duration in these headers is a count of samples, not a guess from the bit rate.
_EXACT_DURATION: Final = frozenset({"w64", "flac", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "aiff"})
_TRUNCATED_S: Final = 0.25
"""Codecs pad and prime by less."""

_BYTES_PER_SAMPLE: Final = 4
_BUFFER_BYTES: Final = 2**20
_PROGRESS_SAMPLES: Final = 10 * 60 * SAMPLE_RATE_HZ


class Decoder:
    """Decodes recordings, each in a thread: FFmpeg works without the interpreter's lock."""

    def __init__(self, setup: DecodeSetup) -> None:
        self.concurrency = setup.concurrency
        self._max_duration_s = setup.max_duration_s

    def describe(self) -> Ready:
        """Nothing to load."""
        return Ready(load_s=0.0)

    def run(self, job: DecodeJob, progress: Progress, cancelled: Callable[[], bool]) -> Decoded:
        """Decode one recording. Raises MediaError or TooLong."""
        try:
            with av.open(job.source, options=_OPTIONS, metadata_errors="ignore") as container:
                return self._decode(container, job.source, job.target, progress, cancelled)
        except av.error.FFmpegError as error:
            raise MediaError(
                f"the file is not a recording that can be decoded; these are: {', '.join(CONTAINERS)}"
            ) from error

    def _decode(
        self,
        container: InputContainer,
        source: str,
        target: str,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> Decoded:
        stream = container.streams.best("audio")
        if stream is None:
            raise MediaError("the file has no sound: none of its streams is audio")
        declared_s = container.duration / av.time_base if container.duration else 0.0
        if declared_s > self._max_duration_s:
            raise self._too_long()
        limit = int(self._max_duration_s * SAMPLE_RATE_HZ)
        resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
        samples = 0
        reported = 0
        frames = _Frames(container, stream)
        with Path(target).open("wb", buffering=_BUFFER_BYTES) as file:
            for frame in frames:
                for resampled in resampler.resample(frame):
                    file.write(memoryview(resampled.planes[0])[: resampled.samples * _BYTES_PER_SAMPLE])
                    samples += resampled.samples
                if samples > limit:
                    raise self._too_long()
                if samples - reported >= _PROGRESS_SAMPLES:
                    reported = samples
                    progress(samples / SAMPLE_RATE_HZ)
                if cancelled():
                    raise Cancelled
        if frames.count == 0:
            raise MediaError("the file holds no sound: not one frame of it could be decoded")
        name = container.format.name
        missing_s = declared_s - samples / SAMPLE_RATE_HZ if name in _EXACT_DURATION else 0.0
        cut = frames.broken or missing_s > _TRUNCATED_S or (name == "wav" and _riff_is_cut(source))
        return Decoded(
            samples=samples,
            container=name,
            codec=stream.codec_context.name,
            source_rate_hz=stream.codec_context.sample_rate or 0,
            channels=stream.codec_context.channels or 0,
            truncated=cut,
        )

    def _too_long(self) -> TooLong:
        return TooLong(
            f"the recording is longer than the {self._max_duration_s:g} seconds that this server takes"
        )


def _riff_is_cut(source: str) -> bool:
    """Whether a WAV file ends before its header says; FFmpeg corrects the header in silence."""
    with Path(source).open("rb") as file:
        header = file.read(8)
        size = file.seek(0, os.SEEK_END)
    announced = int.from_bytes(header[4:8], "little")
    # Writers to a pipe, which can't know, leave one of these.
    return announced not in (0, 0x7FFFFFFF, 0xFFFFFFFF) and announced + 8 > size + 1


class _Frames:
    """The audio frames of a stream, over whatever is broken in it."""

    def __init__(self, container: InputContainer, stream: av.AudioStream) -> None:
        self._container = container
        self._stream = stream
        self.count = 0
        self.broken = False
        """Some packets could not be decoded, or the file ended in the middle of one."""

    def __iter__(self) -> Iterator[av.AudioFrame | None]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                decoded = packet.decode()
            except StopIteration:
                break
            except (av.error.InvalidDataError, av.error.EOFError):
                # One bad packet must not cost the rest of the recording; the reply says so.
                self.broken = True
                continue
            for frame in decoded:
                self.count += 1
                # Timestamps may jump; the recording is what was decoded, one frame after the other.
                frame.pts = None
                yield frame
        yield None  # the resampler's last samples
