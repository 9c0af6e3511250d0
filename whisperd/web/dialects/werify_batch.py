"""The werify app's batches: several recordings in `files`, an answer or an error for each."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from whisperd.errors import EmptyFile, MediaError, MissingFile, WhisperdError
from whisperd.transcript.model import Notice
from whisperd.web.bodies import json_reply
from whisperd.web.dialects.werify import (
    DIALECT,
    QUERY,
    foreign_suffix,
    wanted,
    with_segments,
    without_effect,
)
from whisperd.web.dialects.werify_replies import (
    BATCH_EXAMPLE,
    BatchEntry,
    BatchJson,
    batch_entry,
    transcript_json,
)
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import FileField, Values
from whisperd.web.speech import misplaced, process, query_values
from whisperd.web.uploads import Upload, receive

FILES: Final = (FileField(name="files", doc="The recordings, in any containers.", many=True),)

_AT_ONCE: Final = 4
"""Recordings of a batch that are worked on side by side; other callers have their turns between them."""


async def transcribe_batch(request: web.Request) -> web.StreamResponse:
    """Transcribe several recordings. One that can't be done is an entry that says why."""
    started = time.monotonic()
    values = query_values(request)
    wanted(values, Path())
    async with receive(request, files=FILES, fields=(), take_empty=True) as form:
        if not form.files:
            raise MissingFile("no recording: the form has no field `files`", param="files")
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(recording: Upload) -> BatchEntry:
            async with room:
                return await _entry(request, values, recording, misplaced(form.values))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(recording)) for recording in form.files]
    results = [task.result() for task in tasks]
    body = BatchJson(
        total_files=len(results),
        total_processing_time=round(time.monotonic() - started, 2),
        results=results,
    )
    return json_reply(body, 200)


async def _entry(
    request: web.Request, values: Values, recording: Upload, in_vain: Sequence[Notice]
) -> BatchEntry:
    try:
        if not recording.size:
            raise EmptyFile("the file is empty")
        transcript = await process(request, wanted(values, recording.path))
    except WhisperdError as error:
        foreign = foreign_suffix(error, recording) if isinstance(error, MediaError) else None
        message = f"Unsupported file type: {foreign}" if foreign else error.message
        return BatchEntry(filename=recording.filename, error=message)
    warnings = [*without_effect(values), *in_vain, *transcript.warnings]
    one = transcript_json(transcript, warnings, with_segments=with_segments(values))
    return batch_entry(recording.filename, one)


ENDPOINT: Final = Endpoint(
    method="POST",
    path="/transcribe/batch",
    handler=transcribe_batch,
    dialect=DIALECT,
    summary="Several recordings in one request",
    query=QUERY,
    files=FILES,
    replies=(Reply(doc="A transcript or an error for each", bodies=(BatchJson,), example=BATCH_EXAMPLE),),
)
