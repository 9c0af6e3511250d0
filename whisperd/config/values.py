"""From what a person wrote to an option's value, checked against the option's kind."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from whisperd.config.units import Duration, Size

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_NAMES: Final[Mapping[Any, str]] = {bool: "true or false", int: "a whole number", str: "text", Path: "a path"}


def from_toml(kind: Any, value: object) -> Any:
    """Take a value as TOML holds it.

    Raises ValueError, in words for the person who wrote it: one argument for each mistake.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        checked = from_toml(arguments[0], value)
        for check in arguments[1:]:
            check(checked)
        return checked
    if origin is tuple:
        return _from_array(arguments[0], value)
    if origin is Literal:
        return _from_choice(arguments, value)
    if arguments:  # a union of words and something else
        words, other = arguments
        if value in get_args(words):
            return value
        if type(value) is not _written(other):
            raise ValueError(f"expected {_expected(kind)}, got {_shown(value)}")
        return from_toml(other, value)
    if kind in (Duration, Size):
        return kind.parse(value)
    return _from_scalar(kind, value)


def _from_array(item: Any, value: object) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f'expected an array, such as ["..."], got {_shown(value)}')  # noqa: TRY004
    items, mistakes = [], []
    for number, each in enumerate(value, 1):
        try:
            items.append(from_toml(item, each))
        except ValueError as error:
            mistakes += [f"item {number}: {message}" for message in error.args]
    if mistakes:
        raise ValueError(*mistakes)
    return tuple(items)


def _from_choice(words: tuple[Any, ...], value: object) -> Any:
    if value in words:
        return value
    allowed = ", ".join(f'"{word}"' for word in words)
    raise ValueError(f"expected one of {allowed}, got {_shown(value)}")


def _from_scalar(kind: Any, value: object) -> Any:
    if type(value) is not _written(kind):  # isinstance would take true for a number
        raise ValueError(f"expected {_expected(kind)}, got {_shown(value)}")
    if value == "":
        raise ValueError(f"expected {_expected(kind)}, got nothing")
    return kind(value)


def _written(kind: Any) -> type:
    """What TOML holds for a value of this kind."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _written(get_args(kind)[0])
    return list if origin is tuple else int if kind is int else bool if kind is bool else str


def from_text(kind: Any, text: str) -> object:
    """What TOML would hold if this text, from a command line or a variable, stood in a file.

    Text that can't be of this kind stays text, for `from_toml` to complain about.
    Raises ValueError for an array that is no TOML.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return from_text(arguments[0], text)
    if origin is tuple:
        if text.lstrip().startswith("["):
            return tomllib.loads(f"array = {text}")["array"]
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is bool:
        word = text.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else text
    if arguments and origin is not Literal:
        words, other = arguments
        return text if text in get_args(words) else from_text(other, text)
    if kind is int:
        number = text.strip()
        return int(number) if number.removeprefix("-").isdecimal() else text
    return text


def to_toml(value: Any) -> Any:
    """The value as TOML holds it."""
    if isinstance(value, tuple):
        return [to_toml(item) for item in value]
    return str(value) if isinstance(value, Path | Duration | Size) else value


def _expected(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _expected(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return " or ".join(f'"{word}"' for word in get_args(kind))
    if get_origin(kind) is tuple:
        return "an array"
    if get_args(kind):
        return " or ".join(_expected(part) for part in get_args(kind))
    return _NAMES[kind]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return "an array"
    return "a table" if isinstance(value, dict) else "a date or time"
