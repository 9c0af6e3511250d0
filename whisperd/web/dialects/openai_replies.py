"""What OpenAI's transcription endpoint answers, by `response_format`."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from whisperd.transcript import formats
from whisperd.transcript.languages import LANGUAGES
from whisperd.transcript.model import Doubt, Notice, Segment, Transcript, Word
from whisperd.transcript.turns import letter
from whisperd.web.dialects.openai_fields import Shape

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

_LEAST: Final = 1e-10
"""A probability whose logarithm can still be written."""


class Usage(Struct, frozen=True):
    """What is counted: seconds of the recording."""

    seconds: float
    type: Literal["duration"] = "duration"


class Language(Struct, frozen=True):
    """A language that was heard, by its code."""

    code: str


class Logprob(Struct, frozen=True):
    """A word with the space before it, the same in UTF-8, and the log of its probability."""

    token: str
    bytes: list[int]
    logprob: float


class Json(Struct, frozen=True, kw_only=True):
    """`response_format=json`."""

    text: str
    languages: list[Language] | UnsetType = UNSET
    """Where they were asked for: those that were heard, the main one first."""
    logprobs: list[Logprob] | UnsetType = UNSET
    usage: Usage
    warnings: list[Notice] | UnsetType = UNSET


class SpacedWord(Struct, frozen=True, kw_only=True):
    """A word with the space before it; seconds."""

    word: str
    start: float
    end: float


class PlainJson(Json, frozen=True, kw_only=True):
    """Where no format was asked for: `json`, and what Reflector's clients read."""

    words: list[SpacedWord]
    filename: str
    """The client's own name for the recording."""


class VerboseWord(Struct, frozen=True, kw_only=True):
    """A word; seconds."""

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
    language: str | UnsetType = UNSET
    """English name, in lower case, where it is not that of the whole."""
    doubts: list[Doubt] | UnsetType = UNSET
    """Why the text may not be what was said, where there is a reason."""


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
    language: str | UnsetType = UNSET
    """English name, in lower case, where several were heard."""
    doubts: list[Doubt] | UnsetType = UNSET
    """Why the text may not be what was said, where there is a reason."""


class DiarizedJson(Struct, frozen=True, kw_only=True):
    """`response_format=diarized_json`: speakers have the names that were sent with their voices; the others
    are A, B, ... in the order in which they first speak.
    """

    task: str
    duration: float
    text: str
    segments: list[DiarizedSegment]
    usage: Usage
    warnings: list[Notice] | UnsetType = UNSET


def write(
    transcript: Transcript,
    shape: Shape,
    *,
    known: Collection[str] = (),
    spaces: bool = False,
    warnings: Sequence[Notice] = (),
) -> bytes:
    """The body for a `response_format`. `known` are the names of speakers that were sent; with `spaces`
    words keep the space before them.
    """
    match shape.format:
        case "text":
            return (formats.plain(transcript.segments) + "\n").encode()
        case "srt":
            return formats.srt(transcript.segments).encode()
        case "vtt":
            return formats.vtt(transcript.segments).encode()
    usage = Usage(transcript.duration)
    notices = list(warnings) or UNSET
    body: Struct
    match shape.format:
        case "verbose_json":
            body = VerboseJson(
                task=transcript.task,
                language=_name(transcript.language),
                duration=transcript.duration,
                text=transcript.text,
                words=_words(transcript, spaces=spaces) if "word" in shape.times else UNSET,
                segments=list(map(verbose, transcript.segments)) if "segment" in shape.times else UNSET,
                usage=usage,
                warnings=notices,
            )
        case "diarized_json":
            segments = diarized(transcript, known)
            body = DiarizedJson(
                task=transcript.task,
                duration=transcript.duration,
                text="\n".join(map(line, segments)),
                segments=segments,
                usage=usage,
                warnings=notices,
            )
        case "json":
            body = Json(
                text=transcript.text,
                languages=languages(transcript, shape),
                logprobs=logprobs(transcript.words) if shape.logprobs else UNSET,
                usage=usage,
                warnings=notices,
            )
    return msgspec.json.encode(body)


def plain(
    transcript: Transcript,
    shape: Shape,
    filename: str,
    *,
    spaces: bool,
    warnings: Sequence[Notice],
) -> PlainJson:
    """What is answered where no format was asked for, and one client reads words where another does not."""
    return PlainJson(
        text=transcript.text,
        languages=languages(transcript, shape),
        logprobs=logprobs(transcript.words) if shape.logprobs else UNSET,
        usage=Usage(transcript.duration),
        warnings=list(warnings) or UNSET,
        words=[
            SpacedWord(word=_spaced(word, spaces), start=round(word.start, 2), end=round(word.end, 2))
            for word in transcript.words
        ],
        filename=filename,
    )


def languages(transcript: Transcript, shape: Shape) -> list[Language] | UnsetType:
    """The languages that were heard, where the answer is to have them."""
    return list(map(Language, transcript.languages)) if shape.languages else UNSET


def logprobs(words: Iterable[Word]) -> list[Logprob]:
    """Words with the logs of their probabilities."""
    return [
        Logprob(word.text, list(word.text.encode()), math.log(max(word.probability, _LEAST)))
        for word in words
    ]


def verbose(segment: Segment) -> VerboseSegment:
    """A segment with its evidence."""
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
        language=_name(segment.language) or UNSET,
        doubts=segment.doubts or UNSET,
    )


def diarized(transcript: Transcript, known: Collection[str]) -> list[DiarizedSegment]:
    """Segments with their speakers: those of `known` names by these, the others by letters."""
    segments = transcript.segments
    several = any(segment.language for segment in segments)
    free = (name for number in range(len(segments) + len(known)) if (name := letter(number)) not in known)
    labels = {name: name for name in known}
    found = []
    for number, segment in enumerate(segments, start=1):
        if segment.speaker and segment.speaker not in labels:
            labels[segment.speaker] = next(free)
        found.append(
            DiarizedSegment(
                id=f"seg_{number:03}",
                start=segment.start,
                end=segment.end,
                text=segment.text.strip(),
                speaker=labels[segment.speaker] if segment.speaker else UNKNOWN,
                language=(several and _name(segment.language or transcript.language)) or UNSET,
                doubts=segment.doubts or UNSET,
            )
        )
    return found


def line(segment: DiarizedSegment) -> str:
    """A line of the whole text: who, and what."""
    return f"{segment.speaker}: {segment.text}"


def _name(language: str | None) -> str | None:
    return LANGUAGES.get(language or "", language)


def _words(transcript: Transcript, *, spaces: bool) -> list[VerboseWord]:
    return [
        VerboseWord(word=_spaced(word, spaces), start=word.start, end=word.end, speaker=word.speaker or UNSET)
        for word in transcript.words
    ]


def _spaced(word: Word, spaces: bool) -> str:
    return word.text if spaces else word.text.strip()
