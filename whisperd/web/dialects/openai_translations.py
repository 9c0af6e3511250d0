"""OpenAI's `POST /v1/audio/translations`: speech of any language to English text."""

from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from whisperd.transcript import formats
from whisperd.transcript.model import Notice, Request, Transcript
from whisperd.web.dialects import openai_examples as examples
from whisperd.web.dialects.openai_errors import DIALECT
from whisperd.web.dialects.openai_fields import FILE, MODEL, is_openais
from whisperd.web.dialects.openai_replies import CONTENT_TYPES, VerboseSegment, verbose
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import Field, Values, choice, flag, text
from whisperd.web.room import early
from whisperd.web.speech import CONDITION, DROP_DOUBTED, TEMPERATURE, ignored, process, reply
from whisperd.web.uploads import receive


class TranslationJson(Struct, frozen=True, kw_only=True):
    """`response_format=json`."""

    text: str
    warnings: list[Notice] | UnsetType = UNSET


class VerboseTranslationJson(Struct, frozen=True, kw_only=True):
    """`response_format=verbose_json`."""

    task: str
    language: str = "english"
    """Of the text."""
    duration: float
    text: str
    segments: list[VerboseSegment]
    warnings: list[Notice] | UnsetType = UNSET


MULTILINGUAL: Final = flag("multilingual", "The language that is spoken may change on the way.")
PROMPT: Final = text("prompt", "English text that the recording follows on, for its style and its names.")
RESPONSE_FORMAT: Final = choice(
    "response_format",
    "What the answer looks like.",
    ("json", "verbose_json", "text", "srt", "vtt"),
    default="json",
)
FORM: Final[tuple[Field[Any], ...]] = (
    MODEL,
    MULTILINGUAL,
    PROMPT,
    CONDITION,
    RESPONSE_FORMAT,
    TEMPERATURE,
    DROP_DOUBTED,
)


async def translate(request: web.Request) -> web.StreamResponse:
    """Translate one recording."""
    begins = early(request, _wanted, FORM)
    async with receive(request, files=(FILE,), fields=FORM, begins=begins) as form:
        values = form.values
        shape = values.one(RESPONSE_FORMAT)
        wanted = replace(_wanted(request, values), audio=form.recording().path)
        transcript = await process(request, wanted)
    warnings = ignored(values, known=FORM) + transcript.warnings
    return await reply(
        transcript,
        lambda: _write(transcript, shape, warnings),
        content_type=CONTENT_TYPES[shape],
        warnings=warnings,
    )


def _wanted(_: web.Request, values: Values) -> Request:
    model = values.one(MODEL)
    return Request(
        audio=Path(),
        task="translate",
        multilingual=values.one(MULTILINGUAL),
        condition_on_previous_text=values.one(CONDITION),
        drop_doubted=values.one(DROP_DOUBTED),
        words=values.one(RESPONSE_FORMAT) in ("srt", "vtt"),
        model=None if model is None or is_openais(model) else model,
        prompt=values.one(PROMPT),
        temperature=values.one(TEMPERATURE),
    )


def _write(transcript: Transcript, shape: str, warnings: list[Notice]) -> bytes:
    notices = warnings or UNSET
    match shape:
        case "text":
            return (transcript.text + "\n").encode()
        case "srt":
            return formats.srt(transcript.segments).encode()
        case "vtt":
            return formats.vtt(transcript.segments).encode()
        case "verbose_json":
            return msgspec.json.encode(
                VerboseTranslationJson(
                    task="translate",
                    duration=transcript.duration,
                    text=transcript.text,
                    # Whatever a segment's language was, its text is English.
                    segments=[verbose(replace(segment, language=None)) for segment in transcript.segments],
                    warnings=notices,
                )
            )
    return msgspec.json.encode(TranslationJson(text=transcript.text, warnings=notices))


ENDPOINT: Final = Endpoint(
    method="POST",
    path="/v1/audio/translations",
    handler=translate,
    dialect=DIALECT,
    summary="Speech to English text, as OpenAI's audio API has it",
    files=(FILE,),
    form=FORM,
    replies=(
        Reply(doc="`json`", bodies=(TranslationJson,), example=examples.TRANSLATION),
        Reply(doc="`verbose_json`", bodies=(VerboseTranslationJson,), example=examples.VERBOSE_TRANSLATION),
        Reply(doc="`text`", content_type="text/plain"),
        Reply(doc="`srt`", content_type="application/x-subrip"),
        Reply(doc="`vtt`", content_type="text/vtt"),
    ),
)
