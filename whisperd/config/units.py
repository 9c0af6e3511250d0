"""Durations and sizes as people write them.

A `Duration` is a float of seconds and a `Size` an int of bytes; both remember how they were written, so
that a configuration can be shown as it was typed.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

_PART: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*")


class _Amount:
    """What the two have in common: units, and the text that they were written as."""

    units: ClassVar[Mapping[str, float]]
    example: ClassVar[str]
    _text: str

    def __new__(cls, text: str) -> Self:
        raise NotImplementedError

    @classmethod
    def parse(cls, value: object) -> Self:
        """Take what a configuration file holds: text with units, or a plain 0. Raises ValueError."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"expected text with a unit, such as {cls.example}")  # noqa: TRY004
        return cls(str(value))

    @classmethod
    def _measure(cls, text: str) -> float:
        """Sum the parts of `text`, in the unit whose factor is 1."""
        factors = {unit.lower(): factor for unit, factor in cls.units.items()}
        advice = f"write it as {cls.example}; units are {', '.join(cls.units)}"
        total, position = 0.0, 0
        while part := _PART.match(text, position):
            number, unit = part.groups()
            if not unit and part.span() == (0, len(text)) and float(number) == 0:
                return 0.0
            if not unit:
                raise ValueError(f'"{text.strip()}" has a number without a unit; {advice}')
            if unit.lower() not in factors:
                raise ValueError(f'"{unit}" is not a unit; {advice}')
            total += float(number) * factors[unit.lower()]
            position = part.end()
        if position < len(text) or not text:
            raise ValueError(f'"{text}" is not an amount; {advice}')
        return total

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._text!r})"

    def __getnewargs__(self) -> Any:  # a number's own would not suit __new__ when it is copied
        return (self._text,)


class Duration(_Amount, float):
    """A length of time in seconds, from text such as "30s", "500ms" or "1h 30min"."""

    units: ClassVar = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86_400}
    example = '"30s" or "1h 30min"'

    def __new__(cls, text: str) -> Self:
        """Raise ValueError, in words for the person who wrote `text`."""
        self = float.__new__(cls, cls._measure(text))
        self._text = text.strip()
        return self


class Size(_Amount, int):
    """A number of bytes, from text such as "2GiB" or "500MB"."""

    units: ClassVar = {
        "B": 1,
        "kB": 10**3,
        "MB": 10**6,
        "GB": 10**9,
        "TB": 10**12,
        "KiB": 2**10,
        "MiB": 2**20,
        "GiB": 2**30,
        "TiB": 2**40,
    }
    example = '"500MB" or "2GiB"'

    def __new__(cls, text: str) -> Self:
        """Raise ValueError, in words for the person who wrote `text`."""
        self = int.__new__(cls, round(cls._measure(text)))
        self._text = text.strip()
        return self
