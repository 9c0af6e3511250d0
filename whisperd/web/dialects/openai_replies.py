"""What OpenAI's transcription endpoint answers, by `response_format`."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from whisperd.transcript import formats
from whisperd.transcript.languages import LANGUAGES
from whisperd.transcript.model import Notice, Segment, Transcript

CONTENT_TYPES: Final = {
    "json": "application/json",
    "verbose_json": "application/json",
    "diarized_json": "application/json",
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
}

UNKNOWN: Final = "unknown"
"""The speaker where diarization failed, of which a warning tells."""


class Usage(Struct, frozen=True):
    """What is counted: seconds of the recording."""

    seconds: float
    type: Literal["duration"] = "duration"


class Json(Struct, frozen=True, kw_only=True):
    """`response_format=json`."""

    text: str
    usage: Usage
    warnings: list[Notice] | UnsetType = UNSET


class VerboseWord(Struct, frozen=True, kw_only=True):
    """A word, trimmed; seconds."""

    word: str
    start: float
    end: float
    speaker: str | UnsetType = UNSET


class VerboseSegment(Struct, frozen=True, kw_only=True):
    """A segment with the decoder's evidence; seconds."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    speaker: str | UnsetType = UNSET


class VerboseJson(Struct, frozen=True, kw_only=True):
    """`response_format=verbose_json`."""

    task: str
    language: str | None
    """English name, in lower case; null when no speech was found to tell it by."""
    duration: float
    text: str
    words: list[VerboseWord] | UnsetType = UNSET
    segments: list[VerboseSegment] | UnsetType = UNSET
    usage: Usage
    warnings: list[Notice] | UnsetType = UNSET


class DiarizedSegment(Struct, frozen=True, kw_only=True):
    """What one speaker said without a break; seconds."""

    type: Literal["transcript.text.segment"] = "transcript.text.segment"
    id: str
    start: float
    end: float
    text: str
    speaker: str


class DiarizedJson(Struct, frozen=True, kw_only=True):
    """`response_format=diarized_json`: speakers are A, B, ... in the order in which they first speak."""

    task: str
    duration: float
    text: str
    segments: list[DiarizedSegment]
    usage: Usage
    warnings: list[Notice] | UnsetType = UNSET


def write(transcript: Transcript, shape: str, times: set[str], warnings: Sequence[Notice]) -> bytes:
    """The body for a `response_format`; `times` are the granularities of `verbose_json`."""
    match shape:
        case "text":
            return (formats.plain(transcript.segments) + "\n").encode()
        case "srt":
            return formats.srt(transcript.segments).encode()
        case "vtt":
            return formats.vtt(transcript.segments).encode()
    usage = Usage(transcript.duration)
    notices = list(warnings) or UNSET
    body: Struct
    match shape:
        case "verbose_json":
            body = VerboseJson(
                task=transcript.task,
                language=LANGUAGES.get(transcript.language or "", transcript.language),
                duration=transcript.duration,
                text=transcript.text,
                words=_words(transcript) if "word" in times else UNSET,
                segments=[_segment(segment) for segment in transcript.segments]
                if "segment" in times
                else UNSET,
                usage=usage,
                warnings=notices,
            )
        case "diarized_json":
            segments = _diarized(transcript.segments)
            body = DiarizedJson(
                task=transcript.task,
                duration=transcript.duration,
                text="\n".join(f"{segment.speaker}: {segment.text}" for segment in segments),
                segments=segments,
                usage=usage,
                warnings=notices,
            )
        case _:
            body = Json(text=transcript.text, usage=usage, warnings=notices)
    return msgspec.json.encode(body)


def _words(transcript: Transcript) -> list[VerboseWord]:
    return [
        VerboseWord(word=word.text.strip(), start=word.start, end=word.end, speaker=word.speaker or UNSET)
        for word in transcript.words
    ]


def _segment(segment: Segment) -> VerboseSegment:
    return VerboseSegment(
        id=segment.id,
        seek=segment.seek,
        start=segment.start,
        end=segment.end,
        text=segment.text,
        tokens=segment.tokens,
        temperature=segment.temperature,
        avg_logprob=segment.avg_logprob,
        compression_ratio=segment.compression_ratio,
        no_speech_prob=segment.no_speech_prob,
        speaker=segment.speaker or UNSET,
    )


def _diarized(segments: Sequence[Segment]) -> list[DiarizedSegment]:
    letters: dict[str, str] = {}
    return [
        DiarizedSegment(
            id=f"seg_{number:03}",
            start=segment.start,
            end=segment.end,
            text=segment.text.strip(),
            speaker=letters.setdefault(segment.speaker, letter(len(letters))) if segment.speaker else UNKNOWN,
        )
        for number, segment in enumerate(segments, start=1)
    ]


def letter(number: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    letters = ""
    while number >= 0:
        number, last = divmod(number, 26)
        letters = chr(ord("A") + last) + letters
        number -= 1
    return letters
