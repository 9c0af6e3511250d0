"""Reflector's translator: `POST /translate`, where each of its clients sends the parameters elsewhere."""

from typing import Annotated, Final

from aiohttp import web
from msgspec import Meta, Struct

from whisperd.errors import MissingParameter, ParameterError, UnknownModel
from whisperd.transcript.languages import code_of
from whisperd.web.bodies import json_reply
from whisperd.web.dialects.reflector_requests import dialect, read_body
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import text
from whisperd.web.keys import SERVICE
from whisperd.web.speech import query_values

_SOURCE: Final = "en"
_TARGET: Final = "fr"
_MAX_LANGUAGE: Final = 32
"""Characters."""
LanguageName = Annotated[str, Meta(max_length=_MAX_LANGUAGE)]


def _language(value: str) -> str:
    if len(value) > _MAX_LANGUAGE:
        raise ValueError("a language's code, like en")
    return value


TEXT: Final = text("text", "What to translate; must be there, here or in the body.")
SOURCE: Final = text("source_language", "Its language's code; `en` when not sent.", _language)
TARGET: Final = text("target_language", "The code of the language wanted; `fr` when not sent.", _language)


class TranslateBody(Struct, frozen=True, kw_only=True):
    """The same as in the query, where some send it all and some a part; what is here wins."""

    text: str | None = None
    source_language: LanguageName | None = None
    target_language: LanguageName | None = None


class TranslationJson(Struct, frozen=True):
    """The text in both languages, by the codes that were asked for."""

    text: dict[str, str]


async def translate(request: web.Request) -> web.StreamResponse:
    """Translate a text."""
    values = query_values(request)
    body = await read_body(request, TranslateBody)
    # An empty text is one too.
    original = request.query.get(TEXT.name) if body.text is None else body.text
    if original is None:
        raise MissingParameter("no `text` in the query", param=TEXT.name)
    source = body.source_language or values.one(SOURCE) or _SOURCE
    target = body.target_language or values.one(TARGET) or _TARGET
    found = await _translated(request, original, source, target)
    return json_reply(TranslationJson({source: original, target: found}), 200)


async def _translated(request: web.Request, original: str, source: str, target: str) -> str:
    codes = [code_of(language) or language for language in (source, target)]
    if codes[0] == codes[1] or not original.strip():
        return original
    try:
        return await request.app[SERVICE].translate(original, *codes, patient=True)
    except ParameterError as error:
        # Asking again helps nobody, and 404 is what makes the client stop.
        raise UnknownModel(error.message, param=error.param) from error


TRANSLATE: Final = Endpoint(
    method="POST",
    path="/translate",
    handler=translate,
    dialect=dialect(query=(TEXT, SOURCE, TARGET)),
    summary="Text from one language to another, as Reflector has it",
    query=(TEXT, SOURCE, TARGET),
    body=TranslateBody,
    example={"source_language": "en", "target_language": "fr"},
    replies=(
        Reply(
            doc="The text, and its translation",
            bodies=(TranslationJson,),
            example={"text": {"en": "Good morning.", "fr": "Bonjour."}},
        ),
    ),
)
