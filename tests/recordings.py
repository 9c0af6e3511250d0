"""Recordings that tests make, and those that installed packages carry."""

import importlib.util
import math
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

REPOSITORY = Path(__file__).parent.parent
CORPUS = REPOSITORY.parent / "shared" / "corpus"
"""Recordings with references, beside the repository; tests that use it skip where it is absent."""


def package_file(package: str, *parts: str) -> Path:
    """A file that an installed package carries, found without importing the package."""
    spec = importlib.util.find_spec(package.split(".", maxsplit=1)[0])
    assert spec
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)), *package.split(".")[1:], *parts)


def conversation() -> Path:
    """30 s of two people on the telephone, from pyannote.audio's own package."""
    return package_file("pyannote.audio", "sample", "sample.wav")


def cut(source: Path, target: Path, start_s: float, end_s: float) -> Path:
    """A stretch of a WAV file."""
    with wave.open(str(source), "rb") as whole, wave.open(str(target), "wb") as part:
        rate_hz = whole.getframerate()
        part.setparams(whole.getparams())
        whole.setpos(round(start_s * rate_hz))
        part.writeframes(whole.readframes(round((end_s - start_s) * rate_hz)))
    return target


def tone(
    path: Path,
    *,
    seconds: float = 1.0,
    rate_hz: int = 16_000,
    channels: int = 1,
    amplitude: float = 0.3,
    frequency_hz: float = 440.0,
) -> Path:
    """A WAV file with the same tone in each channel; amplitude 0 is silence."""
    samples = round(seconds * rate_hz)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        for start in range(0, samples, rate_hz):
            block = range(start, min(start + rate_hz, samples))
            turns = [2 * math.pi * frequency_hz * n / rate_hz for n in block]
            values = [round(32_767 * amplitude * math.sin(turn)) for turn in turns]
            file.writeframes(b"".join(struct.pack("<h", value) * channels for value in values))
    return path


def encoded(
    path: Path,
    codec: str,
    *,
    seconds: float = 1.0,
    rate_hz: int = 48_000,
    bit_rate: int = 0,
    picture: bool = False,
) -> Path:
    """440 Hz through an encoder, in the container that the path's ending names; with a picture, a video."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10) if picture else None
        if video:
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream(codec, rate=rate_hz)
        audio.bit_rate = bit_rate
        if video:
            for number in range(round(10 * seconds)):
                frame = VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        samples = np.arange(round(seconds * rate_hz))
        wave_ = (0.3 * np.sin(2 * np.pi * 440 * samples / rate_hz)).astype(np.float32)
        whole = AudioFrame.from_ndarray(wave_[None, :], format="flt", layout="mono")
        whole.sample_rate, whole.pts = rate_hz, 0
        resampler = av.AudioResampler(audio.format, audio.layout, rate_hz, frame_size=audio.frame_size)
        for resampled in [*resampler.resample(whole), *resampler.resample(None)]:
            container.mux(audio.encode(resampled))
        container.mux(audio.encode(None))
    return path
