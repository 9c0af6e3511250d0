"""OpenAI's audio API: `POST /v1/audio/transcriptions`.

Beyond it: `diarize` and the number of speakers as form fields, `speaker` on segments and words, and
`warnings` where the answer is less than was asked for. Reflector's clients ask here too: what the reply
owes to them is in `openai_words.py`, and their forms of many files in `openai_batch.py`.
"""

from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from msgspec import structs

from whisperd.transcript.model import Request
from whisperd.web.crossroads import LIKELY, Sent, Way
from whisperd.web.dialects import openai_examples as examples
from whisperd.web.dialects.openai_errors import DIALECT
from whisperd.web.dialects.openai_fields import (
    FILE,
    FORM,
    read_request,
    read_shape,
    read_spoken,
    tells_speakers,
    without_effect,
)
from whisperd.web.dialects.openai_replies import (
    CONTENT_TYPES,
    DiarizedJson,
    Json,
    PlainJson,
    VerboseJson,
    plain,
    write,
)
from whisperd.web.dialects.openai_stream import stream
from whisperd.web.dialects.openai_words import is_plain, keeps_spaces
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import Values
from whisperd.web.room import early
from whisperd.web.speech import process, reply
from whisperd.web.uploads import Form, receive


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe one recording."""
    begins = early(request, _wanted, FORM)
    async with receive(request, files=(FILE,), fields=FORM, begins=begins) as form:
        return await _answer(request, form)


def _wanted(_: web.Request, values: Values) -> Request:
    spoken = read_spoken(values, Path(), words=True)
    return structs.replace(spoken, speakers=tells_speakers(values))


async def _answer(request: web.Request, form: Form) -> web.StreamResponse:
    """Transcribe the recording of a form."""
    values, recording = form.values, form.recording()
    shape = read_shape(values)
    as_plain = is_plain(request, shape)
    wanted = await read_request(values, shape, recording.path, words=as_plain)
    warnings = without_effect(values, shape, wanted)
    if shape.stream:
        return await stream(request, wanted, shape, warnings)
    transcript = await process(request, wanted)
    warnings += transcript.warnings
    spaces = keeps_spaces(request, shape)
    known = [speaker.name for speaker in wanted.known_speakers]

    def body() -> bytes:
        if as_plain:
            return msgspec.json.encode(
                plain(transcript, shape, recording.filename, spaces=spaces, warnings=warnings)
            )
        return write(transcript, shape, known=known, spaces=spaces, warnings=warnings)

    return await reply(transcript, body, content_type=CONTENT_TYPES[shape.format], warnings=warnings)


ENDPOINT: Final = Endpoint(
    method="POST",
    path="/v1/audio/transcriptions",
    handler=transcribe,
    dialect=DIALECT,
    shared_with=("reflector",),
    summary="Speech to text, as OpenAI's audio API has it",
    doc="With `diarize`, or as `diarized_json`, also who said it.",
    files=(FILE,),
    form=FORM,
    replies=(
        Reply(doc="`json`", bodies=(Json,), example=examples.JSON),
        Reply(doc="No format, where Reflector is served", bodies=(PlainJson,), example=examples.PLAIN),
        Reply(doc="`verbose_json`", bodies=(VerboseJson,), example=examples.VERBOSE),
        Reply(doc="`diarized_json`", bodies=(DiarizedJson,), example=examples.DIARIZED),
        Reply(doc="`text`", content_type="text/plain"),
        Reply(doc="`srt`", content_type="application/x-subrip"),
        Reply(doc="`vtt`", content_type="text/vtt"),
        Reply(
            doc="`stream`: `transcript.text.delta`, `transcript.text.segment`, `transcript.text.done`",
            content_type="text/event-stream",
            example=examples.EVENTS,
        ),
    ),
)


def _likeness(_: Sent) -> int:
    return LIKELY


TRANSCRIBE: Final = Way(endpoint=ENDPOINT, likeness=_likeness, wanted=_wanted, answer=_answer)
