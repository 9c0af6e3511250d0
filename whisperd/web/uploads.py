"""Multipart forms: recordings go to the spool as they arrive, the other fields to `Values`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Final

from aiohttp import web

from whisperd.config.schema import Limits
from whisperd.config.units import Size
from whisperd.errors import EmptyFile, MissingFile, RequestError, TooLarge
from whisperd.media.disk import QUICK_BYTES, Sink, check_room, finish, needing_room, storing
from whisperd.media.spool import Spool
from whisperd.web.fields import Field, FileField, Values, plain_name
from whisperd.web.invitation import invite
from whisperd.web.keys import LIVE, SPOOL
from whisperd.web.pace import Pace
from whisperd.web.parts import Parts
from whisperd.web.room import Begins

MAX_FILES: Final = 50
MAX_OTHER_BYTES: Final = 32 * 2**20
"""What the form may hold besides recordings: fields, also those that have no effect, and framing."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A recording that came in a form."""

    field: str
    path: Path
    """In a directory of its own: what is made of the recording lies beside it."""
    filename: str
    """The client's name for it, without directories; empty when it has none."""
    size: int
    """Bytes."""
    digest: str | None = None
    """SHA-256 of them, hexadecimal, where it is to be kept: then it is on the disk already."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form that was received."""

    values: Values
    files: tuple[Upload, ...]
    """In the order they were sent."""
    expected: tuple[str, ...]
    """Names of the fields that may carry recordings."""

    def recording(self) -> Upload:
        """The one recording that there is. Raises MissingFile, EmptyFile, RequestError for more than one."""
        if not self.files:
            raise MissingFile(
                f"no recording: the form has no field {_either(self.expected)}", param=self.expected[0]
            )
        first, *more = self.files
        if more:
            raise _too_many(more[0].field)
        if not first.size:
            raise _empty(first.field)
        return first


@contextlib.asynccontextmanager
async def receive(
    request: web.Request,
    *,
    files: Sequence[FileField],
    fields: Collection[Field[Any]],
    take_empty: bool = False,
    spool: Spool | None = None,
    limit: Size | None = None,
    begins: Begins | None = None,
) -> AsyncIterator[Form]:
    """Read the form; its recordings are gone when the context is left.

    `files` are the parts that may carry recordings, all of them together as large as `limits.upload`, or as
    `limit` where that is less; there may be none. Values are kept of `fields`, and of others the names alone.
    `take_empty` leaves it to the caller to tell of files without a byte. `spool`: where recordings arrive
    that are to be kept, instead of the requests' own. `begins` may refuse the form before its first recording
    is read. Raises MissingFile for a recording in the wrong place, EmptyFile, TooLarge, UploadTimeout,
    RequestError for a malformed form.
    """
    limits = request.app[LIVE].current.limits
    most = limits.upload if limit is None else min(limit, limits.upload)
    names = tuple(file.name for file in files)
    if request.content_type != "multipart/form-data":
        raise MissingFile(
            f"send the recording as multipart/form-data, in the field {_either(names)}; "
            f"this body is {request.content_type}",
            param=names[0],
        )
    declared = request.content_length or 0
    if declared > most + MAX_OTHER_BYTES:
        raise _too_large(most, names[0])
    lasting, spool = spool is not None, spool or request.app[SPOOL]
    check_room(spool.root, declared, limits.disk_reserve)
    await invite(request)
    with contextlib.ExitStack() as stack:
        reading = _Reading(
            request, limits, most, files, fields, take_empty=take_empty, lasting=lasting, begins=begins
        )
        try:
            yield await reading.read(lambda: stack.enter_context(spool.directory()))
        finally:
            if reading.directory and not _is_quick_to_remove(reading.directory):
                await finish(asyncio.to_thread(stack.close))


class _Reading:
    """One form while it is read."""

    def __init__(
        self,
        request: web.Request,
        limits: Limits,
        most: Size,
        files: Sequence[FileField],
        fields: Collection[Field[Any]],
        *,
        take_empty: bool,
        lasting: bool,
        begins: Begins | None,
    ) -> None:
        self.directory: Path | None = None
        """Where the recordings are, once the first has begun."""
        self._request = request
        self._limits = limits
        self._most = most
        self._many = {file.name: file.many for file in files}
        self._take_empty = take_empty
        self._lasting = lasting
        self._begins = begins
        self._max_bytes = {plain_name(field.name): field.max_bytes for field in fields}
        self._uploads: list[Upload] = []
        self._other_bytes = 0

    async def read(self, make_directory: Callable[[], Path]) -> Form:
        parts = Parts(self._request, Pace(self._limits))
        sent: dict[str, list[str]] = {}
        while part := await parts.next():
            name, filename = part
            if filename is not None:
                self._check_file(name)
                if self.directory is None:
                    if self._begins:
                        self._begins(name, Values(sent))
                    self.directory = make_directory()
                path = self.directory / str(len(self._uploads)) / "upload"
                with needing_room():
                    path.parent.mkdir()
                sink = await self._store(parts, path, name)
                filename = PureWindowsPath(filename).name
                self._uploads.append(Upload(name, path, filename, sink.size, sink.digest))
            elif name in self._many:
                raise MissingFile(
                    f"`{name}` came as text, without a file name; with curl, write -F {name}=@recording.wav",
                    param=name,
                )
            else:
                sent.setdefault(name, []).extend(await self._values(parts, name))
        return Form(Values(sent), tuple(self._uploads), tuple(self._many))

    def _check_file(self, name: str) -> None:
        if name not in self._many:
            expected = tuple(self._many)
            raise MissingFile(f"found `{name[:60]}`, expected {_either(expected)}", param=expected[0])
        if not self._many[name] and any(upload.field == name for upload in self._uploads):
            raise _too_many(name)
        if len(self._uploads) == MAX_FILES:
            raise RequestError(f"the form has more than {MAX_FILES} files", param=name)

    async def _store(self, parts: Parts, path: Path, name: str) -> Sink:
        """Write a part to a file."""
        room = self._most - sum(upload.size for upload in self._uploads)
        async with storing(path, lasting=self._lasting, reserve_bytes=self._limits.disk_reserve) as sink:
            while piece := await parts.piece():
                if sink.size + len(piece) > room:
                    raise _too_large(self._most, name)
                await sink.write(piece)
        if not (sink.size or self._take_empty):
            raise _empty(name)
        return sink

    async def _values(self, parts: Parts, name: str) -> list[str]:
        """The value of a plain field; nothing of one that nobody asks for."""
        limit = self._max_bytes.get(plain_name(name))
        value = bytearray()
        while piece := await parts.piece():
            self._other_bytes += len(piece)
            if self._other_bytes > MAX_OTHER_BYTES:
                raise TooLarge("the form's fields are too large", param=name)
            if limit is not None:
                value += piece
                if len(value) > limit:
                    raise TooLarge(f"the field is larger than {limit // 1024} KiB", param=name)
        try:
            return [] if limit is None else [value.decode()]
        except UnicodeDecodeError as error:
            raise RequestError("the field is not UTF-8", param=name) from error


def _is_quick_to_remove(directory: Path) -> bool:
    try:
        return sum(path.stat().st_size for path in directory.glob("*/*")) <= QUICK_BYTES
    except FileNotFoundError:
        return False  # a worker that was just cancelled still changes it


def _too_large(most: Size, file: str) -> TooLarge:
    return TooLarge(f"the file is larger than the limit of {most}", param=file)


def _too_many(name: str) -> RequestError:
    return RequestError(f"more than one file in `{name}`; send one for each request", param=name)


def _empty(name: str) -> EmptyFile:
    return EmptyFile(f"the file in `{name}` is empty", param=name)


def _either(names: Sequence[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)
