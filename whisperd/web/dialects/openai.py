"""OpenAI's audio API: `POST /v1/audio/transcriptions`, and its errors.

Beyond it: `diarize` and the number of speakers as form fields, `speaker` on segments and words, and
`warnings` where the answer is less than was asked for.
"""

from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from whisperd.errors import ParameterError, WhisperdError
from whisperd.transcript.model import Request
from whisperd.web.dialects.openai_replies import CONTENT_TYPES, DiarizedJson, Json, VerboseJson, write
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.fields import Field, FileField, choice, flag, text
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


# ---- the endpoint --------------------------------------------------------------------------------

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
    "response_format", "What the answer looks like.", tuple(CONTENT_TYPES), default="json"
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
STREAM: Final = flag("stream", "Has no effect: the answer comes in one piece.")
IGNORED: Final[tuple[Field[Any], ...]] = (
    text("chunking_strategy", "Has no effect: speech is always found by the server."),
    text("include[]", "Has no effect."),
    text("languages[]", "Has no effect."),
    text("keywords[]", "Has no effect; `hotwords` has."),
    text("known_speaker_names[]", "Has no effect."),
    text("known_speaker_references[]", "Has no effect."),
)
READ: Final[tuple[Field[Any], ...]] = (
    MODEL,
    RESPONSE_FORMAT,
    GRANULARITIES,
    LANGUAGE,
    PROMPT,
    HOTWORDS,
    TEMPERATURE,
    DIARIZE,
    *HINTS,
    STREAM,
)
FORM: Final = (*READ, *IGNORED)
FILE: Final = FileField(name="file")


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe one recording."""
    async with receive(request, files=(FILE,), fields=READ) as form:
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
            audio=form.recording().path,
            language=values.one(LANGUAGE),
            words="word" in times or shape in ("srt", "vtt"),
            speakers=values.one(DIARIZE) or shape == "diarized_json",
            hints=speaker_hints(values),
            model=None if model in _OPENAI_MODELS else model,
            prompt=values.one(PROMPT),
            hotwords=values.one(HOTWORDS),
            temperature=values.one(TEMPERATURE),
        )
        unheard = [*IGNORED]
        if values.one(STREAM):
            unheard.append(STREAM)
        if not wanted.speakers:
            unheard += HINTS
        warnings = ignored(values, known=FORM, unheard=unheard)
        transcript = await process(request, wanted)
    warnings += transcript.warnings
    return await reply(
        transcript,
        lambda: write(transcript, shape, times, warnings),
        content_type=CONTENT_TYPES[shape],
        warnings=warnings,
    )


ENDPOINT: Final = Endpoint(
    method="POST",
    path="/v1/audio/transcriptions",
    handler=transcribe,
    dialect=DIALECT,
    summary="Speech to text, as OpenAI's audio API has it",
    doc="With `diarize`, or as `diarized_json`, also who said it.",
    files=(FILE,),
    form=FORM,
    replies=(
        Reply(doc="The transcript, by `response_format`", bodies=(Json, VerboseJson, DiarizedJson)),
        Reply(doc="`text`", content_type="text/plain"),
        Reply(doc="`srt`", content_type="application/x-subrip"),
        Reply(doc="`vtt`", content_type="text/vtt"),
    ),
)
