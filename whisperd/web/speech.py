"""What the speech endpoints have in common: some parameters, the call of the service, the reply."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeVar

from aiohttp import web
from msgspec import structs

from whisperd.errors import ParameterError
from whisperd.pipeline import Listener
from whisperd.transcript.languages import LANGUAGES, code_of
from whisperd.transcript.model import Notice, Request, SpeakerHints, Transcript
from whisperd.web.fields import Field, Values, flag, integer, number, plain_name, text
from whisperd.web.keys import CALLER, EXCHANGE, ORIGIN, SERVICE

T = TypeVar("T")

MAX_SPEAKERS: Final = 50

_SMALL: Final = 2_000
"""Words, segments and turns that are written in about a millisecond: others may wait that long."""


def _language(value: str) -> str:
    if value.lower() == "auto":
        return "auto"
    if code := code_of(value):
        return code
    raise ValueError(f"auto or a language, by code or English name: {', '.join(LANGUAGES)}")


def _candidate(value: str) -> str:
    if code := code_of(value):
        return code
    raise ValueError(f"a language, by code or English name: {', '.join(LANGUAGES)}")


LANGUAGE: Final = text(
    "language", "The language spoken: a code (`en`) or an English name. `auto` detects it.", _language
)
LANGUAGES_FIELD: Final = text(
    "languages[]",
    "Where no language is named: it is one of these. With several, each part is written in its own.",
    _candidate,
    repeated=True,
)
MULTILINGUAL: Final = flag(
    "multilingual",
    "Where no language is named: it may change on the way, and each part is written in its own.",
)
CONDITION: Final = flag(
    "condition_on_previous_text",
    "Let the decoder know what was said before. That takes longer: one part waits for the other.",
)
DROP_DOUBTED: Final = flag(
    "drop_doubted",
    "Leave out text that may be made up, instead of marking its segments with `doubts`. A warning, "
    "`text_dropped`, says so.",
)
TEMPERATURE: Final = number(
    "temperature",
    "0 starts at 0 and rises where the text looks wrong; a higher one is kept as it is.",
    minimum=0,
    maximum=1,
)
HINTS: Final = (
    integer("num_speakers", "How many people speak, where that is known.", minimum=1, maximum=MAX_SPEAKERS),
    integer("min_speakers", "At least so many people speak.", minimum=1, maximum=MAX_SPEAKERS),
    integer("max_speakers", "At most so many people speak.", minimum=1, maximum=MAX_SPEAKERS),
)


def candidates(values: Values) -> tuple[str, ...]:
    """The languages of which it is one, by their codes. Raises ParameterError."""
    return tuple(dict.fromkeys(code for code in values.every(LANGUAGES_FIELD) if code))


def unheard_beside(values: Values, language: str | None) -> list[Field[Any]]:
    """What has no effect where this language was named: fields about its detection."""
    if language in (None, "auto"):
        return []
    return [LANGUAGES_FIELD, MULTILINGUAL] if values.one(MULTILINGUAL) else [LANGUAGES_FIELD]


def speaker_hints(values: Values, fields: Sequence[Field[int | None]] = HINTS) -> SpeakerHints:
    """The hints, of fields in the order of HINTS. Raises ParameterError where they contradict each other."""
    return hints_of(*(values.one(field) for field in fields))


def hints_of(exactly: int | None, least: int | None, most: int | None) -> SpeakerHints:
    """The hints. Raises ParameterError where they contradict each other."""
    if least is not None and most is not None and least > most:
        raise ParameterError(
            f"min_speakers ({least}) is more than max_speakers ({most})", param="min_speakers"
        )
    if exactly is not None and not (least or 1) <= exactly <= (most or MAX_SPEAKERS):
        raise ParameterError(
            f"num_speakers ({exactly}) is outside min_speakers and max_speakers", param="num_speakers"
        )
    return SpeakerHints(exactly, least, most)


def ignored(
    values: Values, *, known: Collection[Field[Any]], unheard: Collection[Field[Any]] = (), instead: str = ""
) -> list[Notice]:
    """A notice for each name that was sent without effect: of `unheard`, or of none of the `known` fields.

    `instead` goes on from "... has no effect here".
    """
    names = [field.name for field in unheard if field in values]
    names += sorted(values.names() - {plain_name(field.name) for field in known})
    return [Notice("parameter_ignored", f"{name[:60]} has no effect here{instead}") for name in names]


def misplaced(form: Values) -> list[Notice]:
    """A notice for each field of a form where options are read from the query alone."""
    return ignored(form, known=(), instead="; send it in the query")


def query_values(request: web.Request) -> Values:
    """The parameters in the query."""
    return Values({name: request.query.getall(name) for name in request.query})


def client_of(request: web.Request) -> str:
    """Who asks, as far as shares go: a key, or an address."""
    return request[CALLER].key_id or request[ORIGIN].client or ""


def from_caller(request: web.Request, wanted: Request) -> Request:
    """The same, asked for by whoever sent the request."""
    return structs.replace(wanted, client=client_of(request))


async def process(request: web.Request, wanted: Request, listener: Listener | None = None) -> Transcript:
    """Ask the service, and remember the answer for the log. Raises WhisperdError."""
    transcript = await request.app[SERVICE].process(from_caller(request, wanted), listener)
    request[EXCHANGE].transcripts.append(transcript)
    return transcript


async def written(transcript: Transcript, write: Callable[[], T]) -> T:
    """What `write` makes of the transcript; a large one is written beside the event loop."""
    size = len(transcript.turns) + sum(1 + len(segment.words) for segment in transcript.segments)
    return write() if size <= _SMALL else await asyncio.to_thread(write)


async def reply(
    transcript: Transcript,
    write: Callable[[], bytes],
    *,
    content_type: str = "application/json",
    warnings: Sequence[Notice] = (),
) -> web.Response:
    """What `write` makes of the transcript."""
    body = await written(transcript, write)
    charset = "utf-8" if content_type.startswith("text/") else None
    response = web.Response(body=body, content_type=content_type, charset=charset)
    if warnings:
        response.headers["X-Whisperd-Warnings"] = ", ".join(dict.fromkeys(notice.code for notice in warnings))
    return response
