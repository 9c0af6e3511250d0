"""What an endpoint is: where it is served, what it takes and gives, and how it tells of errors."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from msgspec import Struct

from whisperd.errors import WhisperdError
from whisperd.web.fields import Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A family of clients."""

    name: str
    render_error: Callable[[web.Request, WhisperdError], web.Response]
    error: type[Struct]
    """What `render_error` sends."""
    quiet: bool = False
    """Asked too often for its requests to be worth a line in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A body that an endpoint may answer with."""

    doc: str
    bodies: tuple[type[Struct], ...] = ()
    """One of these; none for plain text."""
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    dialect: Dialect
    summary: str
    doc: str = ""
    replies: tuple[Reply, ...]
    query: tuple[Field[Any], ...] = ()
    form: tuple[Field[Any], ...] = ()
    file: str | None = None
    """The form's field that carries the recording."""
