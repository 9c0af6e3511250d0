"""OpenAI's audio API: `POST /v1/audio/transcriptions`, every response format, and its errors.

Beyond it: `diarize` and the number of speakers as form fields, `speaker` on segments and words, and
`warnings` where the answer is less than was asked for.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from whisperd.errors import ParameterError, WhisperdError
from whisperd.transcript import formats
from whisperd.transcript.languages import LANGUAGES
from whisperd.transcript.model import Notice, Request, Segment, Transcript
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.fields import Field, choice, flag, text
from whisperd.web.speech import (
    HINTS,
    LANGUAGE,
    TEMPERATURE,
    ignored,
    process,
    reply,
    speaker_hints,
)
from whisperd.web.uploads import receive

# ---- errors --------------------------------------------------------------------------------------


class ErrorDetail(Struct, frozen=True):
    """All four keys are always there."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Struct, frozen=True):
    """An error, as OpenAI's clients read it."""

    error: ErrorDetail


def render_error(_: web.Request, error: WhisperdError) -> web.Response:
    """`{"error": {message, type, param, code}}`."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    body = ErrorBody(ErrorDetail(error.message, kind, getattr(error, "param", None), error.code))
    return web.Response(body=msgspec.json.encode(body), status=error.status, content_type="application/json")


DIALECT: Final = Dialect(name="openai", render_error=render_error, error=ErrorBody)


# ---- replies -------------------------------------------------------------------------------------


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


# ---- the endpoint --------------------------------------------------------------------------------

_CONTENT_TYPES: Final = {
    "json": "application/json",
    "verbose_json": "application/json",
    "diarized_json": "application/json",
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
}

_OPENAI_MODELS: Final = (
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
)

MODEL: Final = text(
    "model", f"The model that this server has, or one of {', '.join(_OPENAI_MODELS)}, which stand for it."
)
RESPONSE_FORMAT: Final = choice(
    "response_format", "What the answer looks like.", tuple(_CONTENT_TYPES), default="json"
)
GRANULARITIES: Final = choice(
    "timestamp_granularities[]",
    "Which times `verbose_json` has.",
    ("word", "segment"),
    default="segment",
    repeated=True,
)
PROMPT: Final = text("prompt", "Text that the recording follows on, for its style and its names.")
HOTWORDS: Final = text("hotwords", "Words that are likely to come up.")
DIARIZE: Final = flag("diarize", "Tell who said what.")
IGNORED: Final[tuple[Field[Any], ...]] = (
    flag("stream", "Has no effect: the answer comes in one piece."),
    text("chunking_strategy", "Has no effect: speech is always found by the server."),
    text("include[]", "Has no effect."),
    text("languages[]", "Has no effect."),
    text("keywords[]", "Has no effect; `hotwords` has."),
    text("known_speaker_names[]", "Has no effect."),
    text("known_speaker_references[]", "Has no effect."),
)
FORM: Final[tuple[Field[Any], ...]] = (
    MODEL,
    RESPONSE_FORMAT,
    GRANULARITIES,
    LANGUAGE,
    PROMPT,
    HOTWORDS,
    TEMPERATURE,
    DIARIZE,
    *HINTS,
    *IGNORED,
)


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe one recording."""
    async with receive(request, file="file", fields=FORM) as form:
        values = form.values
        shape = values.one(RESPONSE_FORMAT)
        times = set(values.every(GRANULARITIES)) or {GRANULARITIES.default}
        if "word" in times and shape != "verbose_json":
            raise ParameterError(
                "timestamp_granularities[] = word goes with response_format = verbose_json alone",
                param=GRANULARITIES.name,
            )
        model = values.one(MODEL)
        wanted = Request(
            audio=form.path,
            language=values.one(LANGUAGE),
            words="word" in times or shape in ("srt", "vtt"),
            speakers=values.one(DIARIZE) or shape == "diarized_json",
            hints=speaker_hints(values),
            model=None if model in _OPENAI_MODELS else model,
            prompt=values.one(PROMPT),
            hotwords=values.one(HOTWORDS),
            temperature=values.one(TEMPERATURE),
        )
        unheard = [field for field in IGNORED if field.kind != "boolean" or values.one(field)]
        warnings = ignored(unheard, values)
        transcript = await process(request, wanted)
    warnings += transcript.warnings
    return await reply(
        transcript,
        lambda: _write(transcript, shape, times, warnings),
        content_type=_CONTENT_TYPES[shape],
        warnings=warnings,
    )


def _write(transcript: Transcript, shape: str, times: set[str], warnings: Sequence[Notice]) -> bytes:
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
    letters: dict[str | None, str] = {}
    return [
        DiarizedSegment(
            id=f"seg_{number:03}",
            start=segment.start,
            end=segment.end,
            text=segment.text.strip(),
            speaker=letters.setdefault(segment.speaker, letter(len(letters))),
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


ENDPOINT: Final = Endpoint(
    method="POST",
    path="/v1/audio/transcriptions",
    handler=transcribe,
    dialect=DIALECT,
    summary="Speech to text, as OpenAI's audio API has it",
    doc="With `diarize`, or as `diarized_json`, also who said it.",
    file="file",
    form=FORM,
    replies=(
        Reply(doc="The transcript, by `response_format`", bodies=(Json, VerboseJson, DiarizedJson)),
        Reply(doc="`text`", content_type="text/plain"),
        Reply(doc="`srt`", content_type="application/x-subrip"),
        Reply(doc="`vtt`", content_type="text/vtt"),
    ),
)
