"""Reflector's GPU service: `POST /v1/audio/transcriptions-from-url` and `POST /diarize`.

Its client joins words without a separator, so they keep the space before them. It gives a job up after some
seconds of refusals, so its requests wait instead. (Its live transcription, in pieces of a few seconds, asks
OpenAI's endpoint.)
"""

import itertools
from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from whisperd.errors import MissingParameter, ParameterError
from whisperd.transcript.languages import LANGUAGES, code_of
from whisperd.transcript.model import Notice, Request, Turn, Word
from whisperd.web.crossroads import LIKELY, PERHAPS, SURELY, Sent, Way
from whisperd.web.dialects.reflector_requests import MAX_SHIFT_S, Shift, dialect, read_body, recording
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import number, text
from whisperd.web.speech import ignored, process, query_values, reply
from whisperd.web.uploads import Form

_LANGUAGE: Final = "en"
"""Spoken when a request names none: these clients mean English and not detection."""

# ---- transcription -------------------------------------------------------------------------------


class UrlBody(Struct, frozen=True, kw_only=True):
    """A recording elsewhere; null is as good as nothing."""

    audio_file_url: str
    language: str | None = None
    """A code (`en`, which is the default), an English name, or `auto`."""
    timestamp_offset: Shift | None = None
    """Added to all times; those that it would make negative become 0."""
    model: str | None = None
    """Has no effect: the server decides."""


class WordJson(Struct, frozen=True):
    """A word with the space before it; seconds."""

    word: str
    start: float
    end: float


class TextJson(Struct, frozen=True, kw_only=True):
    """Every key is always there, but for warnings."""

    text: str
    words: list[WordJson]
    filename: None = None
    warnings: list[Notice] | UnsetType = UNSET


async def transcribe_url(request: web.Request) -> web.StreamResponse:
    """Transcribe a recording that is fetched."""
    body = await read_body(request, UrlBody)
    language = _spoken(body.language)
    async with recording(request, body.audio_file_url, param="audio_file_url") as path:
        wanted = Request(audio=path, language=language, words=True, patient=True)
        transcript = await process(request, wanted)
    warnings = transcript.warnings
    if body.model:
        warnings = [Notice("parameter_ignored", "model has no effect here"), *warnings]

    def write() -> bytes:
        return msgspec.json.encode(
            TextJson(
                text=transcript.text,
                words=shifted(transcript.words, body.timestamp_offset or 0.0),
                warnings=warnings or UNSET,
            )
        )

    return await reply(transcript, write, warnings=warnings)


def _spoken(language: str | None) -> str:
    if not language:
        return _LANGUAGE
    if language.lower() == "auto":
        return "auto"
    if code := code_of(language):
        return code
    allowed = ", ".join(LANGUAGES)
    raise ParameterError(f"language can't be {language[:60]!r}; it takes auto or {allowed}", param="language")


def shifted(words: Sequence[Word], by_s: float) -> list[WordJson]:
    """Words in time: none is before 0, ends before it starts, or goes on when the next one starts."""
    placed = [(word.text, _time(word.start + by_s, 2), _time(word.end + by_s, 2)) for word in words]
    starts = [start for _, start, _ in placed[1:]]
    return [
        WordJson(word, start, end if following is None else min(end, following))
        for (word, start, end), following in itertools.zip_longest(placed, starts)
    ]


def _time(seconds: float, digits: int) -> float:
    return max(0.0, round(seconds, digits))


TRANSCRIBE_URL: Final = Endpoint(
    method="POST",
    path="/v1/audio/transcriptions-from-url",
    handler=transcribe_url,
    dialect=dialect(),
    summary="Speech to text of a recording that the server fetches, as Reflector has it",
    body=UrlBody,
    example={"audio_file_url": "https://example.com/audio.mp3", "language": "en", "timestamp_offset": 10},
    replies=(
        Reply(
            doc="The words",
            bodies=(TextJson,),
            example={
                "text": "Hello world.",
                "words": [
                    {"word": " Hello", "start": 10.0, "end": 10.4},
                    {"word": " world.", "start": 10.4, "end": 11.0},
                ],
                "filename": None,
            },
        ),
    ),
)

# ---- speakers ------------------------------------------------------------------------------------

AUDIO_FILE_URL: Final = text("audio_file_url", "Where the recording is; must be there.")
TIMESTAMP: Final = number(
    "timestamp",
    "Added to all times; those that it would make negative become 0.",
    minimum=-MAX_SHIFT_S,
    maximum=MAX_SHIFT_S,
)


class SpeakerJson(Struct, frozen=True):
    """Somebody talking without a break; seconds."""

    start: float
    end: float
    speaker: int
    """Counted from 0, in the order in which they first speak."""


class SpeakersJson(Struct, frozen=True, kw_only=True):
    """Segments by their start; they may overlap."""

    diarization: list[SpeakerJson]
    warnings: list[Notice] | UnsetType = UNSET


async def diarize_url(request: web.Request) -> web.StreamResponse:
    """Tell the speakers of a recording apart that is fetched."""
    values = query_values(request)
    url, shift_s = values.one(AUDIO_FILE_URL), values.one(TIMESTAMP) or 0.0
    if url is None:
        raise MissingParameter("no `audio_file_url` in the query", param=AUDIO_FILE_URL.name)
    async with recording(request, url, param=AUDIO_FILE_URL.name) as path:
        transcript = await process(request, Request(audio=path, text=False, speakers=True, patient=True))
    warnings = ignored(values, known=DIARIZE.endpoint.query) + transcript.warnings

    def write() -> bytes:
        return msgspec.json.encode(
            SpeakersJson(diarization=numbered(transcript.turns, shift_s), warnings=warnings or UNSET)
        )

    return await reply(transcript, write, warnings=warnings)


def numbered(turns: Sequence[Turn], by_s: float) -> list[SpeakerJson]:
    """Turns in time, by their start, with numbers for speakers."""
    turns = sorted(turns, key=lambda turn: (turn.start, turn.end))
    numbers: dict[str, int] = {}
    return [
        SpeakerJson(
            start=_time(turn.start + by_s, 3),
            end=_time(turn.end + by_s, 3),
            speaker=numbers.setdefault(turn.speaker, len(numbers)),
        )
        for turn in turns
    ]


def _likeness(sent: Sent) -> int:
    if AUDIO_FILE_URL.name in sent.query:
        return SURELY
    return PERHAPS if sent.is_form else LIKELY


async def _answer(request: web.Request, _: Form) -> web.StreamResponse:
    return await diarize_url(request)


DIARIZE: Final = Way(
    endpoint=Endpoint(
        method="POST",
        path="/diarize",
        handler=diarize_url,
        dialect=dialect(query=(AUDIO_FILE_URL, TIMESTAMP)),
        summary="Who spoke when in a recording that the server fetches, as Reflector has it",
        query=(AUDIO_FILE_URL, TIMESTAMP),
        replies=(
            Reply(
                doc="Who spoke when",
                bodies=(SpeakersJson,),
                example={
                    "diarization": [
                        {"start": 0.123, "end": 1.5, "speaker": 0},
                        {"start": 1.2, "end": 2.5, "speaker": 1},
                    ]
                },
            ),
        ),
    ),
    likeness=_likeness,
    answer=_answer,
)
