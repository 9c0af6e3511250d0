"""Paths that several dialects share: what a request carries tells which of them it speaks.

No dialect knows another. Each gives a Way: its endpoint, how much a request looks like one of its own, and
what answers the form that was received for all of them.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol, Self, TypeVar

from aiohttp import web

from whisperd.errors import RequestError
from whisperd.web.endpoint import Endpoint
from whisperd.web.fields import Field, FileField, Values
from whisperd.web.keys import EXCHANGE
from whisperd.web.room import Wanted, check, check_any, is_told
from whisperd.web.uploads import Form, receive

NO: Final = 0
PERHAPS: Final = 1
LIKELY: Final = 2
SURELY: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What is known of a request: names, in their places."""

    query: frozenset[str]
    is_form: bool
    """Whether the body is a multipart form. Nothing of what is in it is known before it is read."""
    files: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    """Of the form, without files; plain, that is without brackets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One dialect at a shared path."""

    endpoint: Endpoint
    likeness: Callable[[Sent], int]
    """NO, PERHAPS, LIKELY or SURELY."""
    wanted: Wanted | None = None
    """What a form asks for; None where clients are held, and not refused for want of room."""
    answer: Callable[[web.Request, Form], Awaitable[web.StreamResponse]]
    """Answers a form; where the endpoint takes none, none is read and this one is empty."""


def meet(ways: Sequence[Way]) -> Endpoint:
    """The one endpoint of a path where these ways meet; the first of those that are most alike is taken."""
    first, *others = ways
    if not others:
        return first.endpoint
    forms = _Forms.of(ways)

    async def handle(request: web.Request) -> web.StreamResponse:
        return await _answer(request, ways, forms)

    return replace(first.endpoint, handler=handle, ways=tuple(way.endpoint for way in ways))


class _Forms(NamedTuple):
    """What the forms of several ways may have between them."""

    ways: Sequence[Way]
    files: Sequence[FileField]
    fields: Sequence[Field[Any]]

    @classmethod
    def of(cls, ways: Sequence[Way]) -> Self:
        """Of those whose endpoints take forms."""
        ways = [way for way in ways if way.endpoint.files]
        files = _by_name(file for way in ways for file in way.endpoint.files)
        return cls(ways, files, _by_name(field for way in ways for field in way.endpoint.form))


async def _answer(request: web.Request, ways: Sequence[Way], forms: _Forms) -> web.StreamResponse:
    sent = Sent(query=frozenset(request.query), is_form=request.content_type == "multipart/form-data")
    way = _take(request, ways, sent)
    if not way.endpoint.files:
        return await way.answer(request, Form(Values({}), (), ()))
    ways, files, fields = forms

    def begins(file: str, values: Values) -> None:
        names = frozenset(values.names())
        way = _take(
            request, ways, Sent(query=sent.query, is_form=True, files=frozenset({file}), fields=names)
        )
        if way.wanted is None:
            return
        if is_told(values, way.endpoint.form):
            check(request, way.wanted, values)
        elif all(way.wanted for way in ways):
            check_any(request)

    async with contextlib.AsyncExitStack() as stack:
        try:
            form = await stack.enter_async_context(
                receive(request, files=files, fields=fields, take_empty=True, begins=begins)
            )
        except RequestError as error:
            if error.param in {file.name for file in files}:
                _take(request, ways, Sent(query=sent.query, is_form=True, files=frozenset({error.param})))
            raise
        names = frozenset(upload.field for upload in form.files)
        fields_sent = frozenset(form.values.names())
        way = _take(request, ways, Sent(query=sent.query, is_form=True, files=names, fields=fields_sent))
        return await way.answer(request, form)


def _take(request: web.Request, ways: Sequence[Way], sent: Sent) -> Way:
    """The way that is most alike; errors are told in its dialect from here on."""
    way = max(ways, key=lambda way: way.likeness(sent))
    request[EXCHANGE].dialect = way.endpoint.dialect
    return way


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def _by_name(things: Iterable[N]) -> list[N]:
    """Without those whose name came before."""
    found: dict[str, N] = {}
    for thing in things:
        found.setdefault(thing.name, thing)
    return list(found.values())
