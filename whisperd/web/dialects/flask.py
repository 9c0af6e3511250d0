"""The Flask transcriber: the recording in `audio`, options in the form; text, SubRip and Markdown as links.

Its errors are `{"error": "..."}`. What went to other companies' services is refused: nothing leaves here.
"""

import hashlib
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType, structs

from whisperd.errors import (
    EngineError,
    MissingFile,
    RequestError,
    UnknownModel,
    WhisperdError,
)
from whisperd.transcript.model import Request, Transcript
from whisperd.web.bodies import json_reply
from whisperd.web.crossroads import LIKELY, NO, Sent, Way
from whisperd.web.dialects.flask_replies import EXAMPLE, TranscriptJson, links, rendered, transcript_json
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.fields import Field, FileField, Values, integer, number, text
from whisperd.web.keys import CALLER, DOWNLOADS, LIVE, ORIGIN, SERVICE
from whisperd.web.room import early
from whisperd.web.speech import LANGUAGE, hints_of, ignored, process, reply, written
from whisperd.web.uploads import Form, receive

# ---- parameters ----------------------------------------------------------------------------------

_YES: Final = ("1", "true", "yes", "on")
_NO: Final = ("0", "false", "no", "off")


def _gpu(value: str) -> bool | None:
    value = value.lower()
    return True if value in _YES else False if value in _NO else None


def _language(value: str) -> str | None:
    return "auto" if value == "Automatic" else LANGUAGE.parse(value)


def _diarization(value: str) -> bool:
    value = value.lower()
    if value in ("local", *_YES):
        return True
    if value in _NO:
        return False
    raise ValueError("off or local")


def _backend(value: str) -> str | None:
    if value.lower() == "openai":
        raise ValueError("local; nothing is sent to other services")
    return "local"


def _count(value: str) -> int | None:
    found = int(value) if value.lstrip("-").isdecimal() and len(value) < 10 else None
    if found is None:
        raise ValueError("a whole number; 0 and below leave it open")
    return found if found > 0 else None


def _speakers(name: str, doc: str) -> Field[int | None]:
    return Field(name=name, doc=doc, kind="integer", parse=_count, default=None, schema={})


AUDIO: Final = FileField(name="audio")
MODEL: Final = text("model", "One of the models that this server offers.")
LANGUAGE_HERE: Final = text("language", f"{LANGUAGE.doc} So do `Automatic` and an empty text.", _language)
USE_GPU: Final[Field[bool | None]] = Field(
    name="use_gpu",
    doc="`false` computes on the CPU. Without a GPU `true` does so too, and `gpu_used` says it.",
    kind="boolean",
    parse=_gpu,
    default=None,
    schema={},
)
TRANSLATE: Final[Field[bool]] = Field(
    name="translate",
    doc="`true` gives English text.",
    kind="boolean",
    parse=lambda value: value.lower() == "true",
    default=False,
    schema={"default": False},
)
TEMPERATURE: Final = number("temperature", "0 rises where the text looks wrong.", minimum=0, maximum=1)
BEAM_SIZE: Final = integer("beam_size", "Candidates that are followed.", minimum=1, maximum=20)
BACKEND: Final = text("backend", "`local`.", _backend)
DIARIZATION: Final[Field[bool]] = Field(
    name="diarization",
    doc="`local` tells who said what.",
    kind="string",
    parse=_diarization,
    default=False,
    schema={"default": "off"},
)
LEAST: Final = _speakers("min_speakers", "At least so many people speak.")
MOST: Final = _speakers("max_speakers", "At most so many people speak.")
FORM: Final[tuple[Field[Any], ...]] = (
    MODEL, LANGUAGE_HERE, USE_GPU, TRANSLATE, TEMPERATURE, BEAM_SIZE, BACKEND, DIARIZATION, LEAST, MOST,
)  # fmt: skip


# ---- errors --------------------------------------------------------------------------------------


class ErrorJson(Struct, frozen=True, kw_only=True):
    """What is wrong; with a model that is not offered, those that are."""

    error: str
    allowed_models: list[str] | UnsetType = UNSET


def render_error(request: web.Request, error: WhisperdError) -> web.Response:
    """`{"error": ...}`."""
    match error:
        case MissingFile():
            return json_reply(ErrorJson(error="No audio file provided."), 400)
        case UnknownModel():
            return json_reply(
                ErrorJson(error=error.message, allowed_models=list(request.app[SERVICE].models())), 400
            )
        case EngineError():
            return json_reply(ErrorJson(error=f"Transcription failed: {error.message}"), error.status)
    return json_reply(ErrorJson(error=error.message), error.status)


DIALECT: Final = Dialect(name="flask", render_error=render_error, error=ErrorJson)


# ---- the endpoint --------------------------------------------------------------------------------


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe one recording."""
    begins = early(request, _wanted, FORM)
    async with receive(request, files=(AUDIO,), fields=FORM, take_empty=True, begins=begins) as form:
        return await _answer(request, form)


async def _answer(request: web.Request, form: Form) -> web.StreamResponse:
    """Transcribe the recording of a form, and keep its texts for the caller to fetch."""
    values = form.values
    if any(not upload.filename for upload in form.files):
        raise RequestError("Empty filename.", param=AUDIO.name)
    recording = form.recording()
    wanted = structs.replace(_wanted(request, values), audio=recording.path)
    transcript = await _processed(request, wanted)
    unheard = () if wanted.speakers else (LEAST, MOST)
    warnings = ignored(values, known=FORM, unheard=unheard) + transcript.warnings
    texts = await written(transcript, lambda: rendered(transcript))
    names = await request.app[DOWNLOADS].keep(PurePath(recording.filename).stem, texts, owner(request))
    body = transcript_json(
        transcript,
        markdown=texts[".md"],
        downloads=links(request, names),
        gpu_requested=_gpu_requested(request, values),
        temperature=wanted.temperature or 0.0,
        beam_size=wanted.beam_size or request.app[LIVE].current.transcribe.beam_size,
        warnings=warnings,
    )
    return await reply(transcript, lambda: msgspec.json.encode(body), warnings=warnings)


def _wanted(request: web.Request, values: Values) -> Request:
    values.one(BACKEND)
    return Request(
        audio=Path(),
        task="translate" if values.one(TRANSLATE) else "transcribe",
        language=values.one(LANGUAGE_HERE) or ("auto" if LANGUAGE_HERE in values else None),
        words=True,
        speakers=values.one(DIARIZATION),
        hints=hints_of(None, values.one(LEAST), values.one(MOST)),
        model=values.one(MODEL),
        device="cpu" if has_gpu(request) and not _gpu_requested(request, values) else None,
        temperature=values.one(TEMPERATURE),
        beam_size=values.one(BEAM_SIZE),
    )


def _gpu_requested(request: web.Request, values: Values) -> bool:
    sent = values.one(USE_GPU)
    return has_gpu(request) if sent is None else sent


async def _processed(request: web.Request, wanted: Request) -> Transcript:
    try:
        return await process(request, wanted)
    except UnknownModel as error:
        if wanted.model in request.app[SERVICE].models():
            raise  # it is offered, and the error says what keeps it from being used
        raise UnknownModel("Unsupported model requested.", param=MODEL.name) from error


def has_gpu(request: web.Request) -> bool:
    """Whether recordings are transcribed on a GPU where nothing else is asked for."""
    worker = request.app[SERVICE].status().worker("transcribe")
    return bool(worker and worker.device and worker.device.startswith("cuda"))


def owner(request: web.Request) -> str:
    """Who asks: by the key's owner, by whatever else was sent for a key, or else by the address."""
    caller = request[CALLER]
    if caller.key_id:
        return f"owner {caller.owner}"
    if key := request.headers.get("Authorization"):
        return f"key {hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()}"
    return f"address {request[ORIGIN].client}"


def _likeness(sent: Sent) -> int:
    options = {field.name for field in FORM} & sent.fields
    return LIKELY if AUDIO.name in sent.files or (options and not sent.files) else NO


TRANSCRIBE: Final = Way(
    endpoint=Endpoint(
        method="POST",
        path="/transcribe",
        handler=transcribe,
        dialect=DIALECT,
        summary="Speech to text, as the Flask transcriber has it",
        files=(AUDIO,),
        form=FORM,
        replies=(Reply(doc="The text, and links to it", bodies=(TranscriptJson,), example=EXAMPLE),),
    ),
    likeness=_likeness,
    wanted=_wanted,
    answer=_answer,
)
