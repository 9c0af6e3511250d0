"""Parameters of a request: one object says a parameter's name, meaning, schema and how it is read.

Handlers read values with it and the API description is built from it, so that the two can't differ.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from whisperd.errors import ParameterError, TooLarge

T = TypeVar("T")

Kind = Literal["string", "boolean", "integer", "number"]

_FLAGS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_SHOWN_CHARACTERS: Final = 60
MAX_FIELD_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(Generic[T]):
    """A parameter. `parse` raises ValueError, saying what is allowed, for a text that is not."""

    name: str
    doc: str
    kind: Kind
    parse: Callable[[str], T]
    default: T
    schema: Mapping[str, Any]
    """What JSON Schema can say beyond the type."""
    repeated: bool = False
    """May be sent several times, each time with one value."""
    max_bytes: int = MAX_FIELD_BYTES
    """Largest value that a form may have for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileField:
    """A part of a form that carries recordings."""

    name: str
    doc: str = "The recording, in any container."
    many: bool = False
    """May be sent several times, each time with one recording."""


class Values:
    """The parameters of one request. An empty text counts as not sent."""

    def __init__(self, sent: Mapping[str, Sequence[str]]) -> None:
        self._sent: dict[str, list[str]] = {}
        self._parts: dict[str, dict[str, str]] = {}
        for name, texts in sent.items():
            plain = plain_name(name)
            self._sent.setdefault(plain, []).extend(texts)
            if (key := name[len(plain) :].strip("[]")) and texts:
                self._parts.setdefault(plain, {})[key] = texts[-1]

    def one(self, field: Field[T]) -> T:
        """The value, or the field's default. Raises ParameterError."""
        values = self.every(field)
        return values[-1] if values else field.default

    def every(self, field: Field[T]) -> list[T]:
        """All the values of a field, in the order they were sent. Raises ParameterError."""
        return [_read(field, text) for text in self._sent.get(plain_name(field.name), ()) if text]

    def check_size(self, field: Field[Any]) -> None:
        """Raise TooLarge for a value that is larger than the field's may be: `receive` has seen to that."""
        for text in self._sent.get(plain_name(field.name), ()):
            if len(text.encode()) > field.max_bytes:
                raise TooLarge(f"the field is larger than {field.max_bytes // 1024} KiB", param=field.name)

    def parts(self, field: Field[Any]) -> Mapping[str, str]:
        """The texts of a field that was sent as an object, `x[key]`, by their keys."""
        return self._parts.get(plain_name(field.name), {})

    def __contains__(self, field: Field[Any]) -> bool:
        return plain_name(field.name) in self._sent

    def names(self) -> set[str]:
        """Plain names of all that was sent."""
        return set(self._sent)


def plain_name(name: str) -> str:
    """The name without brackets: clients write lists as `x` or `x[]`, and objects as `x[key]`."""
    return name.partition("[")[0]


def _read(field: Field[T], text: str) -> T:
    try:
        return field.parse(text.strip())
    except ValueError as error:
        shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
        raise ParameterError(f"{field.name} can't be {shown!r}; it takes {error}", param=field.name) from None


# ---- kinds of fields -----------------------------------------------------------------------------


def text(
    name: str,
    doc: str,
    parse: Callable[[str], str | None] = str,
    *,
    repeated: bool = False,
    max_bytes: int = MAX_FIELD_BYTES,
    **schema: Any,
) -> Field[str | None]:
    """Free text, or what `parse` makes of it; None when not sent."""
    return Field(
        name=name,
        doc=doc,
        kind="string",
        parse=parse,
        default=None,
        schema=schema,
        repeated=repeated,
        max_bytes=max_bytes,
    )


def choice(
    name: str, doc: str, allowed: Sequence[str], *, default: str, repeated: bool = False
) -> Field[str]:
    """One of a few words."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(", ".join(allowed))
        return value

    return Field(
        name=name,
        doc=doc,
        kind="string",
        parse=parse,
        default=default,
        schema={"enum": list(allowed), "default": default},
        repeated=repeated,
    )


def flag(name: str, doc: str, *, default: bool = False) -> Field[bool]:
    """Yes or no."""

    def parse(value: str) -> bool:
        if (found := _FLAGS.get(value.lower())) is None:
            raise ValueError("true or false")
        return found

    return Field(
        name=name, doc=doc, kind="boolean", parse=parse, default=default, schema={"default": default}
    )


def number(name: str, doc: str, *, minimum: float, maximum: float | None = None) -> Field[float | None]:
    """A number in a range; None when not sent."""
    allowed = f"a number from {minimum:g} " + ("on" if maximum is None else f"to {maximum:g}")
    highest = math.inf if maximum is None else maximum

    def parse(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not (minimum <= found <= highest and math.isfinite(found)):
            raise ValueError(allowed)
        return found

    schema = {"minimum": minimum} if maximum is None else {"minimum": minimum, "maximum": maximum}
    return Field(name=name, doc=doc, kind="number", parse=parse, default=None, schema=schema)


def integer(name: str, doc: str, *, minimum: int, maximum: int) -> Field[int | None]:
    """A whole number in a range; None when not sent."""

    def parse(value: str) -> int:
        # int() would also take "1_0" and other scripts' digits.
        found = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else -1
        if not minimum <= found <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum}")
        return found

    schema = {"minimum": minimum, "maximum": maximum}
    return Field(name=name, doc=doc, kind="integer", parse=parse, default=None, schema=schema)
