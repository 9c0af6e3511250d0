"""The tokens of a stream: counted whether its caller asks for that or not.

The language model's server counts them where `stream_options.include_usage` says so, in a last event without
choices. Who did not ask may stumble over such an event, and gets the count where Lexia has it: in the last
event that has choices.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

_TRUE: Final = Raw(b"true")
_NULL: Final = Raw(b"null")
_OPTIONS: Final = "stream_options"
_INCLUDE: Final = "include_usage"
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError)
"""Raised for what was passed over when the whole was read."""

Part = dict[str, Raw]
"""An event's JSON object."""


class Tokens(Struct, frozen=True):
    """What was used, as OpenAI's protocol has it."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Choice(Struct, frozen=True):
    """A part of an answer; its last one has the reason why it is that."""

    finish_reason: str | None = None


def counting(body: Mapping[str, Raw]) -> Part | None:
    """The body of a request, made to ask for the count; None where it does already, or wants no stream.

    What is no object where options should be is the server's to refuse.
    """
    if body.get("stream") != _TRUE:
        return None
    try:
        options = msgspec.json.decode(body.get(_OPTIONS, _NULL), type=Part | None) or {}
    except _UNREADABLE:
        return None
    if options.get(_INCLUDE) == _TRUE:
        return None
    return {**body, _OPTIONS: Raw(msgspec.json.encode(options | {_INCLUDE: _TRUE}))}


class Folding:
    """Puts the count of a stream into the event before it, where it is `active`."""

    def __init__(self, *, active: bool) -> None:
        self._active = active
        self._held: Part | None = None
        """The end of a choice, until it is known whether the count follows."""

    def fold(self, part: Part) -> Iterator[Part]:
        """What can be told now that this part has come."""
        if not self._active:
            yield part
            return
        choices = _choices(part)
        if choices == [] and part.get("usage", _NULL) != _NULL:
            for held in self.rest():
                yield held | {"usage": part["usage"]}
            return
        yield from self.rest()
        if any(choice.finish_reason for choice in choices or ()):
            self._held = part
        else:
            yield part

    def rest(self) -> Iterator[Part]:
        """What is still held back."""
        held, self._held = self._held, None
        if held is not None:
            yield held


def _choices(part: Part) -> list[_Choice] | None:
    """None where there are none that can be read."""
    try:
        return msgspec.json.decode(part.get("choices", _NULL), type=list[_Choice] | None)
    except _UNREADABLE:
        return None
