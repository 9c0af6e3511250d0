"""A multipart form's parts, as they arrive: RFC 7578, read by the `multipart` library.

aiohttp's own reader takes far longer for the head of a form, which is all that is read of most forms while
there is too much to do.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from aiohttp import hdrs, web
from aiohttp.helpers import parse_mimetype
from aiohttp.http_exceptions import HttpProcessingError
from multipart import MultipartSegment, PushMultipartParser

from whisperd.errors import RequestError
from whisperd.web.pace import Pace

MAX_PARTS: Final = 100
MAX_FRAMING_BYTES: Final = 2**20
"""What may come besides what the parts hold."""

_PLAIN_ENCODINGS: Final = {"", "binary", "8bit", "7bit"}
_ENCODED_NAME: Final = re.compile(r"filename\* *= *(utf-8|iso-8859-1)'[^']*'([^; ]+)", re.IGNORECASE)
"""As RFC 5987 has it: it is not for forms, and some clients use it there."""
_END: Final = object()
"""Of the form."""
_ANY_BYTES: Final = "latin-1"
"""Names come as UTF-8; where they don't, they are still read, so that they can be told of."""


class Part(NamedTuple):
    """What is known of a part before its bytes come."""

    name: str
    filename: str | None
    """None for a plain field; empty where it says only by its type that it is a file."""


class Parts:
    """Those of one form, of which one is read after the other."""

    def __init__(self, request: web.Request, pace: Pace) -> None:
        """Raises RequestError where the form does not say what its parts are divided by."""
        self._content = request.content
        self._pace = pace
        self._events: Iterator[MultipartSegment | bytes | None] = iter(())
        """Of what came last: each part's head, its bytes in pieces, None. They are made when they are asked
        for, so that nobody copies the bytes of a form that is refused by its fields.
        """
        self._parts = 0
        self._framing = 0
        try:
            boundary = parse_mimetype(request.headers[hdrs.CONTENT_TYPE]).parameters["boundary"]
            self._parser = PushMultipartParser(boundary, header_charset=_ANY_BYTES)
        except (ValueError, KeyError) as error:
            raise _malformed() from error

    async def next(self) -> Part | None:
        """The next part, when what was left of the one before is skipped; None at the end of the form.

        Raises RequestError, UploadTimeout.
        """
        while (event := await self._event()) is not _END:
            if isinstance(event, Part):
                return event
        return None

    async def piece(self) -> bytes:
        """Some more bytes of the part; none at its end. Raises RequestError, UploadTimeout."""
        event = await self._event()
        return event if isinstance(event, bytes) else b""

    async def _event(self) -> object:
        """A Part, some bytes of it, None at its end, or _END."""
        try:
            while (event := next(self._events, _END)) is _END and not self._parser.closed:
                if self._framing > MAX_FRAMING_BYTES:
                    raise _malformed()
                if came := self._content.read_nowait():
                    self._pace.note(len(came))
                else:
                    came = await self._pace.keep(self._content.readany())
                self._framing += len(came)
                self._events = self._parser.parse(came)
        except (ValueError, HttpProcessingError, web.RequestPayloadError) as error:
            raise _malformed() from error
        if isinstance(event, bytes):
            self._framing -= len(event)
        return self._part(event) if isinstance(event, MultipartSegment) else event

    def _part(self, segment: MultipartSegment) -> Part:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise RequestError(f"the form has more than {MAX_PARTS} parts")
        encoding = segment.header(hdrs.CONTENT_TRANSFER_ENCODING, "").lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise RequestError(f"send the parts as they are, not in {encoding[:60]}")
        content_type = segment.content_type or "text/plain"
        if not segment.name or content_type.startswith("multipart/"):
            raise _malformed()
        filename = _filename(segment)
        if filename is None and not content_type.startswith("text/plain"):
            filename = ""
        return Part(_readable(segment.name), filename)


def _filename(segment: MultipartSegment) -> str | None:
    if encoded := _ENCODED_NAME.search(segment[hdrs.CONTENT_DISPOSITION]):
        return unquote(encoded[2], encoded[1], errors="replace")
    return None if segment.filename is None else _readable(segment.filename)


def _readable(name: str) -> str:
    return name.encode(_ANY_BYTES).decode(errors="replace")


def _malformed() -> RequestError:
    return RequestError("the multipart form is malformed or cut off")
