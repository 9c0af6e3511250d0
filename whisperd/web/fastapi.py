"""Errors in FastAPI's shapes, which several of the original servers are made with.

`{"detail": "..."}`, and for a parameter that is wrong status 422 and a list that says which.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from whisperd.errors import MissingFile, MissingParameter, ParameterError, WhisperdError
from whisperd.web.bodies import json_reply
from whisperd.web.fields import Field


class Wrong(Struct, frozen=True, kw_only=True):
    """One parameter that is wrong."""

    type: str
    loc: list[str]
    """`query` or `body`, and the name."""
    msg: str
    input: str | None = None
    """What was sent in the query."""


class Detail(Struct, frozen=True):
    """What is wrong: a sentence, or with status 422 a list."""

    detail: str | list[Wrong]


_TYPES: Final = {"boolean": "bool_parsing", "integer": "int_parsing", "number": "float_parsing"}


def renderer(
    query: Collection[Field[Any]], aliases: Mapping[str, str] = MappingProxyType({})
) -> Callable[[web.Request, WhisperdError], web.Response]:
    """What renders errors where these parameters are read from the query.

    `aliases` are names of parameters here for those that the service knows them by.
    """
    kinds = {field.name: field.kind for field in query}

    def wrong(request: web.Request, error: ParameterError | MissingFile) -> Wrong:
        name = aliases.get(error.param or "", error.param or "")
        if isinstance(error, MissingFile):
            return Wrong(type="missing", loc=["body", name], msg=error.message)
        kind = (
            "missing"
            if isinstance(error, MissingParameter)
            else _TYPES.get(kinds.get(name, ""), "value_error")
        )
        sent = request.query.get(name)
        in_body = sent is None and (name not in kinds or request.content_type == "application/json")
        return Wrong(type=kind, loc=["body" if in_body else "query", name], msg=error.message, input=sent)

    def render(request: web.Request, error: WhisperdError) -> web.Response:
        if isinstance(error, ParameterError | MissingFile):
            return json_reply(Detail([wrong(request, error)]), 422)
        return json_reply(Detail(error.message), error.status)

    return render
