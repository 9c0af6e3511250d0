"""What an endpoint is: where it is served, what it takes and gives, and how it tells of errors."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from msgspec import Struct

from whisperd.access.caller import Permission
from whisperd.config.schema import DialectName
from whisperd.errors import WhisperdError
from whisperd.web.fields import Field, FileField


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A family of clients."""

    name: str
    render_error: Callable[[web.Request, WhisperdError], web.Response]
    error: type[Struct]
    """What `render_error` sends."""
    quiet: bool = False
    """Asked too often for its requests to be worth a line in the log."""
    always: bool = False
    """Served whatever dialects the configuration names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A body that an endpoint may answer with."""

    doc: str
    bodies: tuple[type[Struct], ...] = ()
    """One of these; none for plain text."""
    many: bool = False
    """A list of them."""
    content_type: str | None = "application/json"
    """None where there is no body."""
    status: int = 200
    example: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    """As aiohttp's router takes it: `/v1/models/{id}`, `{id:.+}` with slashes."""
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    dialect: Dialect
    summary: str
    doc: str = ""
    replies: tuple[Reply, ...]
    captures: tuple[Field[Any], ...] = ()
    """Parts of the path."""
    query: tuple[Field[Any], ...] = ()
    files: tuple[FileField, ...] = ()
    """The form's fields that carry recordings; one of them must be there, or one that has a URL."""
    urls: tuple[Field[Any], ...] = ()
    """The form's fields that have the URL of a recording, instead; such a form may also be urlencoded."""
    form: tuple[Field[Any], ...] = ()
    """Its other fields."""
    body: type[Struct] | None = None
    """What is sent as JSON, where no form is."""
    example: Any = None
    """Such a body."""
    permission: Permission | Literal["any"] | None = "stt"
    """What the caller's key must allow; `any`: it need but be one. None for what is open to everybody."""
    shared_with: tuple[DialectName, ...] = ()
    """Other dialects whose clients ask here too: it is served for them alone as well."""
    ways: tuple["Endpoint", ...] = ()
    """Where several dialects meet at this path, what each of them takes and gives."""

    def is_served(self, dialects: Collection[str]) -> bool:
        """Whether one of the dialects wants it."""
        return self.dialect.always or not {self.dialect.name, *self.shared_with}.isdisjoint(dialects)
