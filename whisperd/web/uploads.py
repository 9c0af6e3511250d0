"""Multipart forms: the recording goes to the spool as it arrives, the other fields to `Values`."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Awaitable, Collection
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Final, TypeVar

from aiohttp import (
    BodyPartReader,
    MultipartReader,
    content_disposition_filename,
    parse_content_disposition,
    web,
)
from aiohttp.http_exceptions import HttpProcessingError

from whisperd.config.schema import Limits
from whisperd.errors import EmptyFile, MissingFile, RequestError, TooLarge, Unavailable, UploadTimeout
from whisperd.web.fields import Field, Values, plain_name
from whisperd.web.keys import LIVE, SPOOL

T = TypeVar("T")

MAX_PARTS: Final = 100
MAX_FIELD_BYTES: Final = 64 * 1024
MAX_OTHER_BYTES: Final = 16 * 2**20
"""What the form may hold besides the recording: fields, also those that have no effect, and framing."""

_CHUNK_BYTES: Final = 256 * 1024
_QUICK_BYTES: Final = 2**21
"""So much is written or removed in about a millisecond, no longer than a thread takes to be handed it."""
_PLAIN_ENCODINGS: Final = {"", "binary", "8bit", "7bit"}
_MALFORMED: Final = (ValueError, RuntimeError, HttpProcessingError, web.RequestPayloadError)


@dataclass(frozen=True, slots=True)
class Upload:
    """A form that was received."""

    path: Path
    """The recording, in a directory of its own."""
    filename: str
    """The client's name for it, without directories; empty when it has none."""
    values: Values


@contextlib.asynccontextmanager
async def receive(
    request: web.Request, *, file: str, fields: Collection[Field[Any]]
) -> AsyncIterator[Upload]:
    """Read the form; its directory in the spool is gone when the context is left.

    `file` names the field with the recording; values are kept of `fields`, and of others the names alone.
    Raises MissingFile, EmptyFile, TooLarge, UploadTimeout, RequestError for a malformed form.
    """
    limits = request.app[LIVE].current.limits
    if request.content_type != "multipart/form-data":
        raise MissingFile(
            f"send the recording as multipart/form-data, in the field `{file}`; "
            f"this body is {request.content_type}",
            param=file,
        )
    if (request.content_length or 0) > limits.upload + MAX_OTHER_BYTES:
        raise _too_large(limits, file)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(request.app[SPOOL].directory())
        try:
            yield await _Form(request, limits, file, fields).read(directory)
        finally:
            if not _is_quick_to_remove(directory):
                await _finish(asyncio.to_thread(stack.close))


class _Form:
    """One form while it is read."""

    def __init__(
        self, request: web.Request, limits: Limits, file: str, fields: Collection[Field[Any]]
    ) -> None:
        self._request = request
        self._limits = limits
        self._file = file
        self._wanted = {plain_name(field.name) for field in fields}
        self._other_bytes = 0

    async def read(self, directory: Path) -> Upload:
        reader = await self._arriving(self._request.multipart())
        upload: tuple[Path, str] | None = None
        sent: dict[str, list[str]] = {}
        parts = 0
        while (part := await self._arriving(reader.next())) is not None:
            parts += 1
            if parts > MAX_PARTS:
                raise RequestError(f"the form has more than {MAX_PARTS} parts")
            if isinstance(part, MultipartReader):
                raise _malformed()
            name, filename = _names(part)
            if filename is not None:
                self._check_file(name, again=upload is not None)
                path = directory / "upload"
                await self._store(part, path)
                upload = path, PureWindowsPath(filename).name
            elif name == self._file:
                raise MissingFile(
                    f"`{self._file}` came as text, without a file name; "
                    f"with curl, write -F {self._file}=@recording.wav",
                    param=self._file,
                )
            else:
                sent.setdefault(plain_name(name), []).extend(await self._values(part, name))
        if upload is None:
            raise MissingFile(f"no recording: the form has no field `{self._file}`", param=self._file)
        return Upload(*upload, Values(sent))

    def _check_file(self, name: str, *, again: bool) -> None:
        if name != self._file:
            raise MissingFile(f"found `{name[:60]}`, expected `{self._file}`", param=self._file)
        if again:
            raise RequestError(f"more than one file in `{name}`; send one for each request", param=name)

    async def _store(self, part: BodyPartReader, path: Path) -> None:
        """Write a part to a file."""
        size = unwritten = 0
        chunks: list[bytes] = []
        try:
            with path.open("xb") as target:
                while chunk := await self._arriving(part.read_chunk(_CHUNK_BYTES)):
                    size += len(chunk)
                    unwritten += len(chunk)
                    if size > self._limits.upload:
                        raise _too_large(self._limits, self._file)
                    chunks.append(chunk)
                    if unwritten >= _QUICK_BYTES:
                        await _finish(asyncio.to_thread(target.writelines, chunks))
                        chunks, unwritten = [], 0
                target.writelines(chunks)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise Unavailable("the server has no room for the upload now", retry_after_s=60) from error
        if not size:
            raise EmptyFile(f"the file in `{self._file}` is empty", param=self._file)

    async def _values(self, part: BodyPartReader, name: str) -> list[str]:
        """The value of a plain field; nothing of one that nobody asks for."""
        wanted = plain_name(name) in self._wanted
        value = bytearray()
        while chunk := await self._arriving(part.read_chunk(_CHUNK_BYTES)):
            self._other_bytes += len(chunk)
            if self._other_bytes > MAX_OTHER_BYTES:
                raise TooLarge("the form's fields are too large", param=name)
            if wanted:
                value += chunk
                if len(value) > MAX_FIELD_BYTES:
                    raise TooLarge(f"the field is larger than {MAX_FIELD_BYTES // 1024} KiB", param=name)
        try:
            return [value.decode()] if wanted else []
        except UnicodeDecodeError as error:
            raise RequestError("the field is not UTF-8", param=name) from error

    async def _arriving(self, step: Awaitable[T]) -> T:
        """One step of reading, which waits for the client."""
        try:
            async with asyncio.timeout(self._limits.upload_idle):
                return await step
        except TimeoutError as error:
            raise UploadTimeout(
                f"nothing came for {self._limits.upload_idle}; the upload was given up"
            ) from error
        except _MALFORMED as error:
            raise _malformed() from error


def _names(part: BodyPartReader) -> tuple[str, str | None]:
    """A part's field, and the name of its file: empty where it says only by its type that it is one."""
    encoding = part.headers.get("Content-Transfer-Encoding", "").lower()
    if encoding not in _PLAIN_ENCODINGS:
        raise RequestError(f"send the parts as they are, not in {encoding[:60]}")
    # aiohttp's own properties read the header once for each name, which takes as long as all else here.
    _, parameters = parse_content_disposition(part.headers.get("Content-Disposition"))
    name = content_disposition_filename(parameters, "name")
    if not name:
        raise _malformed()
    filename = content_disposition_filename(parameters)
    is_text = part.headers.get("Content-Type", "text/plain").lower().startswith("text/plain")
    if filename is None and not is_text:
        filename = ""
    return _readable(name), None if filename is None else _readable(filename)


def _readable(name: str) -> str:
    """The name as text that can be sent back: aiohttp keeps bytes that are no UTF-8 as lone surrogates."""
    return name.encode(errors="replace").decode()


def _is_quick_to_remove(directory: Path) -> bool:
    try:
        return sum(path.stat().st_size for path in directory.iterdir()) <= _QUICK_BYTES
    except FileNotFoundError:
        return False  # a worker that was just cancelled still changes it


def _malformed() -> RequestError:
    return RequestError("the multipart form is malformed or cut off")


def _too_large(limits: Limits, file: str) -> TooLarge:
    return TooLarge(f"the file is larger than the limit of {limits.upload}", param=file)


async def _finish(step: Awaitable[T]) -> T:
    """Await what runs in a thread, and to its end also when cancelled: it uses what we are about to free."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
