"""Lexia's speech server: `POST /transcribe` with the recording in `audio`, options in the query.

Times are float seconds.
Its errors are FastAPI's, and those of the engine say which work failed.
"""

import math
import statistics
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType, structs

from whisperd.errors import EngineError, WhisperdError
from whisperd.transcript.model import Notice, Request, Segment, Transcript, Word
from whisperd.web import fastapi
from whisperd.web.bodies import json_reply
from whisperd.web.crossroads import LIKELY, NO, SURELY, Sent, Way
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.fields import Field, FileField, Values, flag
from whisperd.web.room import early
from whisperd.web.speech import LANGUAGE, ignored, misplaced, process, query_values, reply
from whisperd.web.uploads import Form, receive

AUDIO: Final = FileField(name="audio")
WORD_TIMESTAMPS: Final = flag("word_timestamps", "Answer with words too.", default=True)
QUERY: Final = (LANGUAGE, WORD_TIMESTAMPS)


# ---- errors --------------------------------------------------------------------------------------


def renderer(
    query: Collection[Field[Any]], work: str
) -> Callable[[web.Request, WhisperdError], web.Response]:
    """What renders errors of some work, as FastAPI does and with the work's name."""
    render = fastapi.renderer(query)

    def render_error(request: web.Request, error: WhisperdError) -> web.Response:
        if isinstance(error, EngineError):
            return json_reply(fastapi.Detail(f"{work} failed: {error.message}"), error.status)
        return render(request, error)

    return render_error


DIALECT: Final = Dialect(name="lexia", render_error=renderer(QUERY, "Transcription"), error=fastapi.Detail)


# ---- transcription -------------------------------------------------------------------------------


class WordJson(Struct, frozen=True):
    """A word with its leading space; seconds."""

    text: str
    start: float
    end: float
    confidence: float


class SegmentJson(Struct, frozen=True, kw_only=True):
    """A segment; seconds."""

    id: int
    text: str
    start: float
    end: float
    confidence: float
    """Mean of the words' probabilities; without words, the mean of the tokens'."""
    words: list[WordJson] | None


class TranscriptJson(Struct, frozen=True, kw_only=True):
    """Every key is always there, but for warnings."""

    text: str
    segments: list[SegmentJson]
    words: list[WordJson]
    language: str
    """A code; `unknown` when no speech was found to tell it by."""
    language_confidence: float
    duration: float
    warnings: list[Notice] | UnsetType = UNSET


_HELLO: Final = {"text": " Hello", "start": 0.0, "end": 0.5, "confidence": 0.98}
_THERE: Final = {"text": " there.", "start": 0.6, "end": 1.1, "confidence": 0.9}
EXAMPLE: Final = {
    "text": "Hello there.",
    "segments": [
        {
            "id": 0,
            "text": "Hello there.",
            "start": 0.0,
            "end": 1.1,
            "confidence": 0.94,
            "words": [_HELLO, _THERE],
        }
    ],
    "words": [_HELLO, _THERE],
    "language": "en",
    "language_confidence": 0.97,
    "duration": 6.0,
}


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe one recording."""
    begins = early(request, _wanted, ())
    async with receive(request, files=(AUDIO,), fields=(), begins=begins) as form:
        return await _transcribed(request, form)


async def _transcribed(request: web.Request, form: Form) -> web.StreamResponse:
    values = query_values(request)
    with_words = values.one(WORD_TIMESTAMPS)
    wanted = structs.replace(_wanted(request, form.values), audio=form.recording().path)
    transcript = await process(request, wanted)
    warnings = ignored(values, known=QUERY) + misplaced(form.values) + transcript.warnings
    return await reply(
        transcript, lambda: _transcript(transcript, warnings, with_words=with_words), warnings=warnings
    )


def _wanted(request: web.Request, _: Values) -> Request:
    values = query_values(request)
    return Request(audio=Path(), language=values.one(LANGUAGE), words=values.one(WORD_TIMESTAMPS))


def _transcript(transcript: Transcript, warnings: list[Notice], *, with_words: bool) -> bytes:
    segments = [_segment(segment, with_words=with_words) for segment in transcript.segments]
    return msgspec.json.encode(
        TranscriptJson(
            text=transcript.text,
            segments=segments,
            words=[word for segment in segments for word in segment.words or ()],
            language=transcript.language or "unknown",
            language_confidence=transcript.language_probability or 0.0,
            duration=transcript.duration,
            warnings=warnings or UNSET,
        )
    )


def _segment(segment: Segment, *, with_words: bool) -> SegmentJson:
    return SegmentJson(
        id=segment.id,
        text=segment.text.strip(),
        start=segment.start,
        end=segment.end,
        confidence=_confidence(segment),
        words=[_word(word) for word in segment.words] if with_words else None,
    )


def _word(word: Word) -> WordJson:
    return WordJson(word.text, word.start, word.end, word.probability)


def _confidence(segment: Segment) -> float:
    if segment.words:
        return statistics.fmean(word.probability for word in segment.words)
    return math.exp(min(0.0, segment.avg_logprob))


def _likeness(sent: Sent) -> int:
    if AUDIO.name not in sent.files:
        return NO
    return SURELY if sent.query and not sent.fields else LIKELY


TRANSCRIBE: Final = Way(
    endpoint=Endpoint(
        method="POST",
        path="/transcribe",
        handler=transcribe,
        dialect=DIALECT,
        summary="Speech to text, as Lexia's speech server has it",
        query=QUERY,
        files=(AUDIO,),
        replies=(Reply(doc="Segments and words", bodies=(TranscriptJson,), example=EXAMPLE),),
    ),
    likeness=_likeness,
    wanted=_wanted,
    answer=_transcribed,
)
