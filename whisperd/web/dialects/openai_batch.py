"""Reflector's own forms at OpenAI's path: `files` or `files[]`, several at once, and `batch`.

One recording is answered as it is where no format is asked for, several with a list of such answers. Errors
are FastAPI's: `{"detail": ...}`.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct, structs

from whisperd.errors import EmptyFile, MissingFile, ParameterError, UnknownModel, WhisperdError
from whisperd.tasks import scoped
from whisperd.transcript.model import Notice
from whisperd.web import fastapi
from whisperd.web.bodies import json_reply
from whisperd.web.crossroads import NO, SURELY, Sent, Way
from whisperd.web.dialects import openai_examples as examples
from whisperd.web.dialects.openai_fields import FILE, SPOKEN, read_shape, read_spoken
from whisperd.web.dialects.openai_replies import PlainJson, plain
from whisperd.web.dialects.openai_words import keeps_spaces
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.fields import Field, FileField, Values, flag
from whisperd.web.speech import ignored, process
from whisperd.web.uploads import Form, Upload, receive

BATCH: Final = flag("batch", "True needs `files`; the answer is the same as without.")
FILES: Final = (
    FILE,
    FileField(name="files", doc="Recordings; not used where `file` is sent.", many=True),
    FileField(name="files[]", doc="Another name for `files`.", many=True),
)
FORM: Final[tuple[Field[Any], ...]] = (*SPOKEN, BATCH)

_LANGUAGE: Final = "en"
"""Reflector's, where a request names none."""


class Results(Struct, frozen=True):
    """One for each recording, in the order they were sent."""

    results: list[PlainJson]


# ---- errors --------------------------------------------------------------------------------------

_refuse: Final = fastapi.renderer(())


def render_error(request: web.Request, error: WhisperdError) -> web.Response:
    """A sentence; a list for what FastAPI itself refuses, which is a `batch` that is no boolean."""
    if isinstance(error, ParameterError) and error.param == BATCH.name:
        return _refuse(request, error)
    return json_reply(fastapi.Detail(error.message), error.status)


DIALECT: Final = Dialect(name="reflector", render_error=render_error, error=fastapi.Detail)


# ---- the endpoint --------------------------------------------------------------------------------


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe the recordings of a request."""
    async with receive(request, files=FILES, fields=FORM, take_empty=True) as form:
        return await _answer(request, form)


async def _answer(request: web.Request, form: Form) -> web.StreamResponse:
    """Transcribe the recordings of a form, side by side."""
    uploads = _recordings(form)
    warnings = ignored(form.values, known=FORM)
    answers = await _together([_one(request, form.values, upload, warnings) for upload in uploads])
    body: Struct = answers[0] if len(answers) == 1 else Results(answers)
    return web.Response(
        body=await asyncio.to_thread(msgspec.json.encode, body), content_type="application/json"
    )


def _recordings(form: Form) -> Sequence[Upload]:
    """The recordings to transcribe. Raises MissingFile, EmptyFile."""
    alone = [upload for upload in form.files if upload.field == FILE.name]
    if form.values.one(BATCH) and len(alone) == len(form.files):
        raise MissingFile("Batch transcription requires 'files'", param="files")
    uploads = alone or form.files
    if not uploads:
        raise MissingFile("Either 'file' or 'files' parameter is required", param=FILE.name)
    for upload in uploads:
        if not upload.size:
            raise EmptyFile(f"the file {upload.filename!r} is empty", param=upload.field)
    return uploads


async def _one(request: web.Request, values: Values, upload: Upload, warnings: Sequence[Notice]) -> PlainJson:
    shape = read_shape(Values({}))
    wanted = read_spoken(values, upload.path, words=True)
    if wanted.language is None and not (wanted.languages or wanted.multilingual):
        wanted = structs.replace(wanted, language=_LANGUAGE)
    # Its clients give a recording up when they were refused for some seconds.
    wanted = structs.replace(wanted, patient=True)
    notices = list(warnings)
    try:
        transcript = await process(request, wanted)
    except UnknownModel as error:
        # They name the model that Reflector's own server has, which takes any name.
        notices.append(Notice("parameter_ignored", f"{error.message}; the configured one was used"))
        transcript = await process(request, structs.replace(wanted, model=None))
    return plain(
        transcript,
        shape,
        upload.filename,
        spaces=keeps_spaces(request, shape),
        warnings=[*notices, *transcript.warnings],
    )


async def _together(works: Sequence[Coroutine[Any, Any, PlainJson]]) -> list[PlainJson]:
    """The results in order. The first failure ends all of them."""
    tasks = [asyncio.create_task(work) for work in works]
    async with scoped(*tasks):
        return await asyncio.gather(*tasks)


def _likeness(sent: Sent) -> int:
    return SURELY if {"files", "files[]"} & sent.files or BATCH.name in sent.fields else NO


ENDPOINT: Final = Endpoint(
    method="POST",
    path="/v1/audio/transcriptions",
    handler=transcribe,
    dialect=DIALECT,
    summary="several recordings, as Reflector's server has it",
    doc="With `files` or `batch`, Reflector's: words with the space before them, and English unless "
    "`language` says otherwise.",
    files=FILES,
    form=FORM,
    replies=(
        Reply(doc="One recording", bodies=(PlainJson,), example=examples.PLAIN),
        Reply(doc="Several", bodies=(Results,), example=examples.SEVERAL),
    ),
)

TRANSCRIBE: Final = Way(endpoint=ENDPOINT, likeness=_likeness, answer=_answer)
