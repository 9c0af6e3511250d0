"""Whether there is room for a request, told before its recording is read: to refuse it later costs both sides
more, and comes late.

What is asked for is in the query, or in the fields of a form. Libraries send these before its files; where
none came before the first recording, they may be behind it, and are waited for.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from aiohttp import web

from whisperd.errors import RequestError
from whisperd.transcript.model import Request
from whisperd.web.fields import Field, Values
from whisperd.web.keys import ROOM, SERVICE
from whisperd.web.speech import client_of, from_caller

Wanted = Callable[[web.Request, Values], Request]
"""What is asked for by a form's fields, or by the query; the recording's path has no meaning yet. Raises
RequestError.
"""
Begins = Callable[[str, Values], None]
"""Told the field of a form's first recording as that begins, and the values that came before it. What it
raises is the answer.
"""


def early(request: web.Request, wanted: Wanted, form: Collection[Field[Any]]) -> Begins:
    """Refuse now what has no room whatever it asks for, and later what has none for what it asks for by the
    fields in `form`. Raises Unavailable, RateLimited.
    """
    check_any(request)

    def begins(_: str, values: Values) -> None:
        if is_told(values, form):
            check(request, wanted, values)

    return begins


def is_told(values: Values, form: Collection[Field[Any]]) -> bool:
    """Whether all is known that a form asks for with these fields."""
    return bool(values.names()) or not form


def check(request: web.Request, wanted: Wanted, values: Values) -> None:
    """Refuse what has no room for what is asked. Raises Unavailable, RateLimited."""
    try:
        asked = wanted(request, values)
    except RequestError:
        return  # whoever answers it sees all of it, and tells
    _ask(request, partial(request.app[SERVICE].check_room, from_caller(request, asked)))


def check_any(request: web.Request) -> None:
    """Refuse what has no room whatever is asked. Raises Unavailable, RateLimited."""
    _ask(request, partial(request.app[SERVICE].check_room_for_any, client_of(request)))


def _ask(request: web.Request, room: Callable[[], None]) -> None:
    request[ROOM] = room
    room()
