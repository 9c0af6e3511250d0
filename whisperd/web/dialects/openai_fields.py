"""The fields of OpenAI's audio endpoints, and what they ask of the service."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import structs

from whisperd.errors import ParameterError
from whisperd.transcript.model import Notice, Request
from whisperd.web.dialects import openai_voices
from whisperd.web.dialects.openai_chunking import CHUNKING, read_detection
from whisperd.web.dialects.openai_voices import read_voices
from whisperd.web.fields import Field, FileField, Values, choice, flag, text
from whisperd.web.speech import (
    CONDITION,
    DROP_DOUBTED,
    HINTS,
    LANGUAGE,
    LANGUAGES_FIELD,
    MULTILINGUAL,
    TEMPERATURE,
    candidates,
    ignored,
    speaker_hints,
    unheard_beside,
)

OPENAI_MODELS: Final = ("whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")
"""Names of OpenAI's own models, which stand for the configured one; those in gpt-4o also with an ending."""

_TELLS_LANGUAGES: Final = "gpt-transcribe"
"""The one of them whose answers say which language was heard."""
_STREAMED: Final = ("json", "text", "diarized_json")


def is_openais(model: str) -> bool:
    """Whether a model is one of OpenAI's, such as `gpt-4o-mini-transcribe-2025-12-15`."""
    return model in OPENAI_MODELS or model.startswith(("gpt-4o-transcribe-", "gpt-4o-mini-transcribe-"))


def _included(value: str) -> str:
    if value != "logprobs":
        raise ValueError("logprobs")
    return value


MODEL: Final = text(
    "model",
    f"One of `/v1/models`, or one of {', '.join(OPENAI_MODELS)}, which stand for the configured one.",
)
RESPONSE_FORMAT: Final = choice(
    "response_format",
    "What the answer looks like.",
    ("json", "verbose_json", "diarized_json", "text", "srt", "vtt"),
    default="json",
)
GRANULARITIES: Final = choice(
    "timestamp_granularities[]",
    "Which times `verbose_json` has.",
    ("word", "segment"),
    default="segment",
    repeated=True,
)
PROMPT: Final = text("prompt", "Text that the recording follows on, for its style and its names.")
KEYWORDS: Final = text("keywords[]", "Words that are likely to come up.", repeated=True)
HOTWORDS: Final = text("hotwords", "The same as one text.")
INCLUDE: Final = text(
    "include[]",
    "`logprobs`: with `json`, the log of each word's probability. The unit is the word.",
    _included,
    repeated=True,
    enum=["logprobs"],
)
DIARIZE: Final = flag("diarize", "Tell who said what.")
STREAM: Final = flag(
    "stream", "Answer with server-sent events as the text is found: as `json`, `text` or `diarized_json`."
)

FILE: Final = FileField(name="file")
SPOKEN: Final[tuple[Field[Any], ...]] = (
    MODEL,
    LANGUAGE,
    LANGUAGES_FIELD,
    MULTILINGUAL,
    PROMPT,
    CONDITION,
    KEYWORDS,
    HOTWORDS,
    TEMPERATURE,
    CHUNKING,
    DROP_DOUBTED,
)
"""What says how to listen, whatever the answer looks like."""
FORM: Final[tuple[Field[Any], ...]] = (
    *SPOKEN,
    RESPONSE_FORMAT,
    GRANULARITIES,
    INCLUDE,
    STREAM,
    DIARIZE,
    *HINTS,
    *openai_voices.FIELDS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the answer is to look like."""

    format: Literal["json", "verbose_json", "diarized_json", "text", "srt", "vtt"]
    chosen: bool
    """Whether the caller named the format."""
    times: Set[str]
    """`word`, `segment`: which ones `verbose_json` has."""
    logprobs: bool
    languages: bool
    """Whether the answer says which languages were heard."""
    stream: bool


def read_shape(values: Values) -> Shape:
    """The wished answer. Raises ParameterError for what does not go together."""
    shape = values.one(RESPONSE_FORMAT)
    times = set(values.every(GRANULARITIES)) or {GRANULARITIES.default}
    if "word" in times and shape != "verbose_json":
        raise ParameterError(
            "timestamp_granularities[] = word goes with response_format = verbose_json alone",
            param=GRANULARITIES.name,
        )
    logprobs = bool(values.every(INCLUDE))
    if logprobs and shape != "json":
        raise ParameterError(
            "include[] = logprobs goes with response_format = json alone", param=INCLUDE.name
        )
    return Shape(
        format=shape,  # type: ignore[arg-type]
        chosen=bool(values.every(RESPONSE_FORMAT)),
        times=times,
        logprobs=logprobs,
        languages=(
            values.one(MODEL) == _TELLS_LANGUAGES
            or bool(values.every(LANGUAGES_FIELD))
            or values.one(MULTILINGUAL)
        ),
        stream=values.one(STREAM) and shape in _STREAMED,
    )


def read_spoken(values: Values, audio: Path, *, words: bool) -> Request:
    """What is asked of a recording, speakers apart. Raises ParameterError."""
    model = values.one(MODEL)
    hotwords = [word for field in (HOTWORDS, KEYWORDS) for word in values.every(field) if word]
    return Request(
        audio=audio,
        language=values.one(LANGUAGE),
        languages=candidates(values),
        multilingual=values.one(MULTILINGUAL),
        detection=read_detection(values),
        condition_on_previous_text=values.one(CONDITION),
        drop_doubted=values.one(DROP_DOUBTED),
        words=words,
        model=None if model is None or is_openais(model) else model,
        prompt=values.one(PROMPT),
        hotwords=", ".join(hotwords) or None,
        temperature=values.one(TEMPERATURE),
    )


def tells_speakers(values: Values) -> bool:
    """Whether it is wanted who said what."""
    return values.one(DIARIZE) or values.one(RESPONSE_FORMAT) == "diarized_json"


async def read_request(values: Values, shape: Shape, audio: Path, *, words: bool) -> Request:
    """What is asked of a recording; voices that are sent along are written beside it. Raises ParameterError.

    `words` asks for their times where the shape does not.
    """
    spoken = read_spoken(
        values,
        audio,
        words=words or "word" in shape.times or shape.logprobs or shape.format in ("srt", "vtt"),
    )
    hints = speaker_hints(values)
    voices = await read_voices(values, audio.parent)
    if not tells_speakers(values):
        return spoken
    return structs.replace(spoken, speakers=True, hints=hints, known_speakers=voices)


def without_effect(values: Values, shape: Shape, wanted: Request) -> list[Notice]:
    """Notices for what was sent in vain."""
    unheard = unheard_beside(values, wanted.language)
    if values.one(STREAM) and not shape.stream:
        unheard.append(STREAM)
    if not wanted.speakers:
        unheard += (*HINTS, *openai_voices.FIELDS)
    return ignored(values, known=FORM, unheard=unheard)
