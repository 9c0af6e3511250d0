"""From the decoder's tokens to passages: its own segments, which its timestamps set apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TIMESTAMP_S: Final = 0.02
"""What one timestamp token is later than the one before it."""
_UNTOLD_S: Final = 1.0
"""A voice that goes on for longer after the last timestamp was missed."""
_ANNOUNCED_S: Final = 0.6
"""The same where the decoder itself says that something begins there."""
_STEP_S: Final = 0.5
"""Decoding starts again only where that gets it on by so much, and so much is left."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A segment, in seconds of its chunk."""

    start: float
    end: float
    tokens: tuple[int, ...]
    """As the decoder gave them, timestamps and all."""


def passages(
    tokens: Sequence[int], timestamp_begin: int, *, duration: float, voice_end: float | None = None
) -> tuple[list[Passage], float | None]:
    """The passages of a chunk of so many seconds, and from where on it is to be decoded once more.

    A passage without an end, after others, is left to that: it was cut off, or forgotten. So is a voice that
    goes on (until `voice_end`, where that is known) after the decoder has stopped.
    """
    found: list[Passage] = []
    at = 0.0
    open_tokens: list[int] = []
    texts = 0
    ended = 0
    for token in tokens:
        open_tokens.append(token)
        if token < timestamp_begin:
            texts += 1
            continue
        time = min((token - timestamp_begin) * TIMESTAMP_S, duration)
        ended += 1
        if texts:
            found.append(Passage(at, max(at, time), tuple(open_tokens)))
            open_tokens, texts, ended = [], 0, 0
        at = max(at, time)
    if texts and not found:
        return [Passage(at, duration, tuple(open_tokens))], None
    if not found:
        return [], None
    last = found[-1].end
    if texts:
        again = last < duration - _STEP_S
        return (found, last) if again else ([*found, Passage(last, duration, tuple(open_tokens))], None)
    left = (duration if voice_end is None else voice_end) - last
    announced = ended > 0
    if voice_end is None and not announced:
        return found, None
    missed = left > (_ANNOUNCED_S if announced else _UNTOLD_S)
    return found, last if missed and last > _STEP_S and duration - last > _STEP_S else None
