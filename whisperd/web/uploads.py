"""A multipart form: the recording goes to disk as it comes in, the other fields are read into memory."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import BodyPartReader, MultipartReader, web

from whisperd.config.schema import Limits
from whisperd.errors import EmptyFile, MissingFile, RequestError, TooLarge, UploadTimeout
from whisperd.web.fields import Values, plain_name
from whisperd.web.keys import LIVE

_CHUNK_BYTES: Final = 2**18
_MAX_FIELD_BYTES: Final = 2**16
_MAX_PARTS: Final = 100
_OVERHEAD_BYTES: Final = 2**20
"""Boundaries, headers and plain fields around the recording, where only the whole body's length is known."""


@dataclass(frozen=True, slots=True)
class Form:
    """What came in."""

    values: Values
    recording: Path
    filename: str
    """The caller's name for it, without directories; never a name on this machine."""


async def read_form(request: web.Request, directory: Path, field: str) -> Form:
    """Read the form whose `field` carries the recording, into `directory`.

    Raises MissingFile, EmptyFile, TooLarge, UploadTimeout, or RequestError for a form that can't be read.
    """
    limits = request.app[LIVE].current.limits
    if request.content_type != "multipart/form-data":
        raise MissingFile(
            f"send the recording as multipart/form-data, in the field {field!r}; "
            f"this is {request.content_type}",
            param=field,
        )
    if (request.content_length or 0) > limits.upload + _OVERHEAD_BYTES:
        raise _too_large(limits)
    try:
        return await _Reader(directory, field, limits).read(await request.multipart())
    except (ValueError, RuntimeError, AssertionError) as error:
        # What aiohttp's parser raises, depending on where the form breaks off.
        raise RequestError(f"the form is not valid multipart/form-data: {error}") from error


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the recording is larger than the {limits.upload} that this server takes", param="file")


class _Reader:
    """Reads one form."""

    def __init__(self, directory: Path, field: str, limits: Limits) -> None:
        self._path = directory / "upload"
        self._field = field
        self._limits = limits
        self._sent: dict[str, list[str]] = {}
        self._filename: str | None = None
        self._other_files: list[str] = []

    async def read(self, parts: MultipartReader) -> Form:
        try:
            async with asyncio.timeout(self._limits.upload_idle) as idle:
                for _ in range(_MAX_PARTS):
                    part = await parts.next()
                    if part is None:
                        return self._form()
                    if not isinstance(part, BodyPartReader):
                        raise RequestError("a form inside the form; send the fields side by side")
                    await self._take(part, idle)
        except TimeoutError as error:
            raise UploadTimeout(f"nothing came for {self._limits.upload_idle:g} seconds") from error
        raise RequestError(f"the form has more than {_MAX_PARTS} fields")

    async def _take(self, part: BodyPartReader, idle: asyncio.Timeout) -> None:
        name = part.name or ""
        if part.filename is None:
            self._sent.setdefault(name, []).append(await self._text(part, name, idle))
        elif plain_name(name) != self._field:
            self._other_files.append(name)
            await self._copy(part, None, idle)
        elif self._filename is not None:
            raise RequestError(f"more than one recording in the field {self._field!r}; send one", param=name)
        else:
            self._filename = part.filename.replace("\\", "/").rpartition("/")[2]
            await self._copy(part, self._path, idle)

    async def _text(self, part: BodyPartReader, name: str, idle: asyncio.Timeout) -> str:
        data = b""
        while chunk := await self._chunk(part, idle):
            data += chunk
            if len(data) > _MAX_FIELD_BYTES:
                raise RequestError(f"the field {name!r} has more than {_MAX_FIELD_BYTES} bytes", param=name)
        return data.decode("utf-8", errors="replace")

    async def _copy(self, part: BodyPartReader, target: Path | None, idle: asyncio.Timeout) -> None:
        """Write to `target`. A file that nobody asked for is read past, so that the error can name it."""
        size = 0
        with (target or Path("/dev/null")).open("wb", buffering=0) as file:
            while chunk := await self._chunk(part, idle):
                size += len(chunk)
                if size > self._limits.upload:
                    raise _too_large(self._limits)
                # The page cache takes it in microseconds; a thread's hand-over would cost more.
                file.write(chunk)
        if target and not size:
            raise EmptyFile(f"the file in the field {self._field!r} is empty", param=self._field)

    async def _chunk(self, part: BodyPartReader, idle: asyncio.Timeout) -> bytes:
        idle.reschedule(asyncio.get_running_loop().time() + self._limits.upload_idle)
        return bytes(await part.read_chunk(_CHUNK_BYTES))

    def _form(self) -> Form:
        if self._filename is None:
            raise MissingFile(self._missing(), param=self._field)
        return Form(Values(self._sent), self._path, self._filename)

    def _missing(self) -> str:
        wanted = f"the recording goes into the field {self._field!r}, as a file"
        if self._field in self._sent:
            return f"{wanted}; there it was sent without a file name, as text"
        if self._other_files:
            return f"{wanted}; it was sent in {', '.join(map(repr, self._other_files))}"
        return f"{wanted}; there is none in this form"
