"""Handing in a recording at Lexia's gateway: by form or JSON, with its bytes or its URL, and once only."""

import contextlib
import datetime
import hashlib
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct, structs

from whisperd.config.units import Size
from whisperd.errors import MediaError, MissingFile, ParameterError, TooLarge, UrlRefused
from whisperd.jobs.model import Job, Source
from whisperd.jobs.webhook import check_webhook_url
from whisperd.media import urls
from whisperd.media.spool import Spool
from whisperd.transcript.model import Notice, Priority, Transcript
from whisperd.web.bodies import read_json, read_urlencoded
from whisperd.web.dialects.lexia_fields import (
    AUDIO,
    AUDIO_URL,
    DEADLINE,
    METADATA,
    PRIORITY,
    WEBHOOK_URL,
    Asked,
)
from whisperd.web.dialects.lexia_shapes import Details
from whisperd.web.fields import Field, Values
from whisperd.web.keys import CALLER, DESK, SERVICE
from whisperd.web.room import Begins
from whisperd.web.speech import process
from whisperd.web.uploads import Upload, receive

FORMATS: Final = ("wav", "mp3", "m4a", "flac", "ogg", "webm")
"""What the names of recordings end with in Lexia's own description."""
_OTHER_FORMATS: Final = {
    "3gp", "aac", "ac3", "aif", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "m2ts", "m4b", "m4v", "mka",
    "mkv", "mov", "mp2", "mp4", "mpeg", "mpg", "mpga", "oga", "ogv", "opus", "spx", "ts", "wma", "wmv", "wv",
}  # fmt: skip
"""What else is decoded here."""

SYNC_LIMIT: Final = Size("50MiB")
"""The largest recording that is answered at once."""

_IDEMPOTENCY_KEY: Final = "Idempotency-Key"
_SANE_KEY: Final = re.compile("[!-~ ]{1,255}")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request's parameters, and its recording where that came with it."""

    values: Values
    upload: Upload | None

    def recording(self) -> Upload:
        """The recording. Raises MissingFile."""
        if self.upload is None:
            raise MissingFile(f"no recording: send it in `{AUDIO.name}`", param=AUDIO.name)
        return self.upload


@contextlib.asynccontextmanager
async def sent(
    request: web.Request,
    *,
    fields: Sequence[Field[Any]],
    body: type[Struct] | None = None,
    spool: Spool | None = None,
    limit: Size | None = None,
    begins: Begins | None = None,
) -> AsyncIterator[Sent]:
    """Read a request: a multipart form, or where there is a `body` also JSON as that says, or a plain form.

    The recording is gone when the context is left. Raises what `receive` and `read_json` raise, and
    MediaError for a file whose name says that it is no recording.
    """
    if body and request.content_type == "application/json":
        yield Sent(_checked(_values(await read_json(request, body)), fields), None)
    elif body and request.content_type == "application/x-www-form-urlencoded":
        yield Sent(_checked(await read_urlencoded(request), fields), None)
    else:
        async with contextlib.AsyncExitStack() as stack:
            with _measuring(request, limit):
                form = await stack.enter_async_context(
                    receive(request, files=(AUDIO,), fields=fields, spool=spool, limit=limit, begins=begins)
                )
            upload = form.recording() if form.files else None
            if upload:
                _check_format(upload.filename)
            yield Sent(form.values, upload)


async def hand_in(request: web.Request, sent: Sent, asked: Asked) -> Job:
    """Make a job of it. Raises RequestError for what can be told to be wrong already, Unavailable."""
    values, upload = sent.values, sent.upload
    url = values.one(AUDIO_URL)
    warnings = asked.warnings
    if upload and url:
        warnings = [Notice("parameter_ignored", "audio_url has no effect here, beside audio"), *warnings]
        url = None
    elif url:
        _check_audio_url(url)
    elif not upload:
        raise MissingFile(
            f"no recording: send it in `{AUDIO.name}`, or its URL in `{AUDIO_URL.name}`", param=AUDIO.name
        )
    if webhook_url := values.one(WEBHOOK_URL):
        check_webhook_url(webhook_url)
    request.app[SERVICE].check(asked.work.request(Path()))
    now = datetime.datetime.now(datetime.UTC)
    caller = request[CALLER]
    key, source = _idempotency_key(request), _source(upload, url)
    job = Job(
        id=str(uuid.uuid4()),
        type=asked.type,
        status="pending" if url else "queued",
        priority=msgspec.convert(values.one(PRIORITY), Priority),
        owner=caller.owner,
        organization_id=caller.organization_id,
        key_id=caller.key_id,
        source=source,
        work=asked.work,
        details=msgspec.to_builtins(Details(metadata=values.one(METADATA), warnings=warnings)),
        webhook_url=webhook_url,
        idempotency_key=key,
        fingerprint=_fingerprint(values, asked, source) if key else None,
        created_at=now,
        deadline=_deadline(values, now),
    )
    return await request.app[DESK].accept(job, upload.path if upload else None)


async def answered(request: web.Request, sent: Sent, asked: Asked) -> tuple[Transcript, Job]:
    """The answer at once, and the job that it would have been, which nobody keeps.

    Raises MissingFile, and what the service raises.
    """
    upload, began = sent.recording(), datetime.datetime.now(datetime.UTC)
    transcript = await process(request, asked.work.request(upload.path))
    job = Job(
        id=str(uuid.uuid4()),
        type=asked.type,
        status="completed",
        owner=request[CALLER].owner,
        source=_source(upload, None),
        work=asked.work,
        details=msgspec.to_builtins(Details(warnings=asked.warnings)),
        created_at=began,
        completed_at=datetime.datetime.now(datetime.UTC),
    )
    return transcript, job


# ---- parts ---------------------------------------------------------------------------------------


def _values(body: Struct) -> Values:
    """A JSON body as if it had come as a form."""
    given = {name: value for name, value in structs.asdict(body).items() if value is not None}
    return Values(
        {
            name: [
                one if isinstance(one, str) else msgspec.json.encode(one).decode()
                for one in (value if isinstance(value, list) else [value])
            ]
            for name, value in given.items()
        }
    )


def _checked(values: Values, fields: Sequence[Field[Any]]) -> Values:
    """The values, none of them larger than in a form of several parts."""
    for field in fields:
        values.check_size(field)
    return values


@contextlib.contextmanager
def _measuring(request: web.Request, limit: Size | None) -> Iterator[None]:
    """Say of a recording that is too large how large it is, where the request tells that."""
    try:
        yield
    except TooLarge as error:
        length = request.content_length or 0
        if limit is None or length <= limit or error.param != AUDIO.name:
            raise
        raise TooLarge(
            f"File size ({length / 2**20:.2f} MB) exceeds maximum ({limit // 2**20} MB)", param=error.param
        ) from error


def _check_format(filename: str) -> None:
    """Lexia knows recordings by their names. More of these are known here; the bytes have the last word."""
    suffix = PurePath(filename).suffix.lower().removeprefix(".")
    if suffix not in FORMATS and suffix not in _OTHER_FORMATS:
        what = (
            f"a recording's name can't end in .{suffix[:20]}"
            if suffix
            else "the recording's name has no ending"
        )
        raise MediaError(f"{what}; send {', '.join(FORMATS)} or another format of audio", param=AUDIO.name)


def _check_audio_url(url: str) -> None:
    try:
        urls.parse(url)
    except (ParameterError, UrlRefused) as error:
        raise ParameterError(error.message, param=AUDIO_URL.name) from error


def _source(upload: Upload | None, url: str | None) -> Source:
    if upload is None:
        return Source(url=url)
    return Source(digest=upload.digest, filename=upload.filename, size=upload.size)


def _deadline(values: Values, now: datetime.datetime) -> datetime.datetime | None:
    deadline = values.one(DEADLINE)
    if isinstance(deadline, datetime.timedelta):
        return now + deadline
    if deadline and deadline <= now:
        raise ParameterError("the deadline has passed already", param=DEADLINE.name)
    return deadline


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get(_IDEMPOTENCY_KEY)
    if key is not None and not _SANE_KEY.fullmatch(key):
        raise ParameterError(
            f"{_IDEMPOTENCY_KEY} takes 1 to 255 printable characters of ASCII", param=_IDEMPOTENCY_KEY
        )
    return key


def _fingerprint(values: Values, asked: Asked, source: Source) -> str:
    """The same for the same request alone. A deadline counts as it was sent: seconds from whenever it is."""
    everything = (
        asked.type,
        asked.work,
        source,
        values.one(WEBHOOK_URL),
        values.one(PRIORITY),
        values.one(METADATA),
        repr(values.one(DEADLINE)),
    )
    return hashlib.sha256(msgspec.json.encode(everything, order="deterministic")).hexdigest()
