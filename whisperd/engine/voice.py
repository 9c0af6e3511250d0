"""Whether anybody speaks: a second look at what a decoder has made something, or nothing, of."""

from typing import Final

from faster_whisper.vad import VadOptions, get_speech_timestamps

from whisperd.engine.chunks import Audio
from whisperd.engine.coverage import Span
from whisperd.protocol import SAMPLE_RATE_HZ

_CLOSE: Final = VadOptions(min_silence_duration_ms=100, speech_pad_ms=0)
_WORD_S: Final = 0.25
"""Less of a voice than this says nothing."""


def speech(audio: Audio) -> list[Span]:
    """Where a detector hears it, generously, in seconds."""
    return _spans(audio, VadOptions())


def speaks(audio: Audio) -> bool:
    """Whether there is voice enough for a word."""
    return sum(end - start for start, end in _spans(audio, _CLOSE)) >= _WORD_S


def _spans(audio: Audio, options: VadOptions) -> list[Span]:
    return [
        (found["start"] / SAMPLE_RATE_HZ, found["end"] / SAMPLE_RATE_HZ)
        for found in get_speech_timestamps(audio, options)
    ]
