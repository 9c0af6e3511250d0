"""The replies of Lexia's gateway: JSON with what was less than asked for in a header, or a result as text."""

from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from whisperd.jobs.model import Job
from whisperd.transcript.model import Notice, Transcript
from whisperd.web.bodies import json_reply
from whisperd.web.dialects.lexia_forms import CONTENT_TYPES, Form, write
from whisperd.web.dialects.lexia_shapes import Details
from whisperd.web.endpoint import Reply
from whisperd.web.speech import reply

NOTHING: Final = Reply(doc="Done; there is no body", status=204, content_type=None)


def accepted(job: Job, body: Struct, place: str) -> web.Response:
    """A job was taken, whose result will be found below this path."""
    response = json_reply(body, 202)
    response.headers["Location"] = f"{place}/{job.id}"
    if warnings := Details.of(job).warnings:
        response.headers["X-Whisperd-Warnings"] = ", ".join(dict.fromkeys(one.code for one in warnings))
    return response


async def shown(
    job: Job, transcript: Transcript | None, form: Form, show: Callable[[], Struct]
) -> web.StreamResponse:
    """What came of a job, as text or as JSON, which `show` makes."""
    warnings: list[Notice] = [*Details.of(job).warnings, *(transcript.warnings if transcript else ())]
    if transcript is None:
        return json_reply(show())
    return await reply(
        transcript,
        lambda: msgspec.json.encode(show()) if form == "json" else write(job, transcript, form),
        content_type=CONTENT_TYPES[form],
        warnings=warnings,
    )


def gone() -> web.Response:
    """Done, and nothing to tell."""
    return web.Response(status=204)
