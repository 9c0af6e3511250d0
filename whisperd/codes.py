"""Errors that come from elsewhere: as their codes from a worker, or where jobs are kept, or as mere words."""

import re

from whisperd.errors import EngineError, RequestError, WhisperdError


def error_by_code(code: str, message: str, param: str | None = None) -> WhisperdError:
    """The error that somebody told of by its code; an EngineError where the code says nothing."""
    error = _BY_CODE.get(code, EngineError)(message)
    if isinstance(error, RequestError):
        error.param = param
    return error


def without_paths(words: object) -> str:
    """Another program's words, as callers may read them."""
    return re.sub(r"/[^\s:]*/", "", str(words))


def _subclasses(root: type[WhisperdError]) -> list[type[WhisperdError]]:
    return [root, *(error for child in root.__subclasses__() for error in _subclasses(child))]


_BY_CODE = {error.code: error for error in _subclasses(WhisperdError)}
