"""Recordings opened for reading, by PyAV (which carries its own FFmpeg).

The bytes come from anyone. Only the demuxers and decoders named here may look at them: FFmpeg has demuxers
that open further files or addresses which a recording names (`ffconcat`, SDP, HLS), and would decode the
picture on a cover, however large that says it is.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import av
import av.error
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from whisperd.engine import Cancelled
from whisperd.errors import MediaError, TooLong

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

CODECS: Final = frozenset(name for name in av.codecs_available if name.startswith("pcm_")) | {
    *("aac", "aac_fixed", "aac_latm", "ac3", "ac3_fixed", "alac", "dca", "eac3", "flac", "truehd"),
    *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_yamaha"),
    *("amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb"),
    *("g722", "g723_1", "g726", "g726le", "g729", "gsm", "gsm_ms", "ilbc"),
    *("libopus", "libspeex", "libvorbis", "opus", "speex", "vorbis"),
    *("mp1", "mp1float", "mp2", "mp2fixed", "mp2float", "mp3", "mp3float"),
    *("wmalossless", "wmapro", "wmav1", "wmav2", "wmavoice"),
}
"""FFmpeg's decoders of sound that recordings are made with, and none for games, pictures or video."""

RATES_HZ: Final = range(2_000, 1_000_001)
"""A rate below makes hours of a small file; one above takes a resampler's memory with it."""
MAX_STREAMS: Final = 128
"""What FFmpeg makes of a file with more of them: no recording."""

_OPTIONS: Final = {
    "format_whitelist": ",".join(CONTAINERS.values()),
    "codec_whitelist": ",".join(sorted(CODECS)),
    # The file is open already, and nothing that stands in it can have another one opened.
    "protocol_whitelist": "fd",
    "max_streams": str(MAX_STREAMS),
    # PCM in a WAV file may be AC-3 or DTS in truth. So many packets tell, and the 2,500 that are usual take
    # longer to look through than a short recording takes to decode.
    "max_probe_packets": "8",
}


class Recording:
    """The best audio stream of an open file."""

    def __init__(
        self,
        container: InputContainer,
        stream: av.AudioStream,
        max_duration_s: float,
        cancelled: Callable[[], bool],
    ) -> None:
        self._container = container
        self._stream = stream
        self._max_duration_s = max_duration_s
        self._cancelled = cancelled
        self.broken = False
        """Some packets could not be decoded, or the file ended in the middle of one."""
        if self.declared_s > max_duration_s:
            raise self._too_long()

    @property
    def container(self) -> str:
        """FFmpeg's name for the container."""
        return str(self._container.format.name)

    @property
    def codec(self) -> str:
        """FFmpeg's name for the codec."""
        return str(self._stream.codec_context.name)

    @property
    def rate_hz(self) -> int:
        """Samples a second, by the header; 0 where it doesn't say."""
        return self._stream.codec_context.sample_rate or 0

    @property
    def channels(self) -> int:
        """Channels, by the header; 0 where it doesn't say."""
        return self._stream.codec_context.channels or 0

    @property
    def declared_s(self) -> float:
        """Seconds, by the header; 0 where it doesn't say."""
        return self._container.duration / av.time_base if self._container.duration else 0.0

    def resampled(self, *, sample_format: str, layout: str, rate_hz: int) -> Iterator[av.AudioFrame]:
        """The sound, from first to last, over whatever is broken in it.

        Raises MediaError, TooLong, Cancelled.
        """
        # Each part of a chained OGG may have a rate of its own.
        for shape, frames in itertools.groupby(self._frames(), key=_shape):
            resampler = AudioResampler(sample_format, layout, rate_hz)
            try:
                for frame in frames:
                    yield from resampler.resample(frame)
                # A resampler that had nothing to do gives back the None that it is handed.
                yield from filter(None, resampler.resample(None))
            except av.error.ArgumentError as error:
                raise MediaError(
                    f"the recording's channels ({shape.layout}) are in no arrangement that is known; "
                    "mix them down to one or two"
                ) from error

    def _frames(self) -> Iterator[av.AudioFrame]:
        seconds = 0.0
        packets = self._container.demux(self._stream)
        while True:
            if self._cancelled():
                raise Cancelled
            try:
                decoded = next(packets).decode()
            except (StopIteration, IndexError):
                # PyAV trips over streams that appeared on the way when, at the file's end, it has each
                # decoder give out what it holds. That of our stream, which was there before, has by then.
                break
            except (av.error.InvalidDataError, av.error.EOFError):
                # One bad packet must not cost the rest of the recording; the reply says so.
                self.broken = True
                continue
            except av.error.FFmpegError as error:
                raise _not_decodable() from error
            for frame in decoded:
                _check_rate(frame.sample_rate)
                seconds += frame.samples / frame.sample_rate
                if seconds > self._max_duration_s:
                    raise self._too_long()
                # Timestamps may jump; the recording is what was decoded, one frame after the other.
                frame.pts = None
                yield frame
        if not seconds:
            raise MediaError("the file holds no sound: not one frame of it could be decoded")

    def _too_long(self) -> TooLong:
        return TooLong(
            f"the recording is longer than the {self._max_duration_s:g} seconds that this server takes"
        )


@contextlib.contextmanager
def opened(
    path: str,
    *,
    max_duration_s: float,
    cancelled: Callable[[], bool],
    without_audio: str = "the file has no sound: none of its streams is audio",
) -> Iterator[Recording]:
    """Open a file, whatever its name. Raises MediaError, with `without_audio` as its words, or TooLong."""
    with Path(path).open("rb") as file:
        try:
            container = av.open(
                "fd:", options=_OPTIONS | {"fd": str(file.fileno())}, metadata_errors="ignore"
            )
        except av.error.FFmpegError as error:
            raise _not_decodable() from error
        with container:
            stream = container.streams.best("audio")
            if stream is None:
                raise MediaError(without_audio)
            # It has none where FFmpeg has no decoder at all.
            if stream.codec_context is None or stream.codec_context.name not in CODECS:
                raise _not_decodable()
            yield Recording(container, stream, max_duration_s, cancelled)


class _Shape(NamedTuple):
    """What a resampler has to know of its input."""

    sample_format: str
    layout: str
    rate_hz: int


def _shape(frame: av.AudioFrame) -> _Shape:
    return _Shape(frame.format.name, frame.layout.name, frame.sample_rate)


def _check_rate(rate_hz: int) -> None:
    if rate_hz not in RATES_HZ:
        raise MediaError(
            f"the recording has {rate_hz} samples a second; "
            f"from {RATES_HZ.start} to {RATES_HZ.stop - 1} are possible"
        )


def _not_decodable() -> MediaError:
    return MediaError(f"the file is not a recording that can be decoded; these are: {', '.join(CONTAINERS)}")
