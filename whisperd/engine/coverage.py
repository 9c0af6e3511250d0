"""Whether all the speech that detection found has come out as text."""

from collections.abc import Iterable, Sequence
from typing import Final

Span = tuple[float, float]
"""Start and end, in seconds."""

_PADDED_S: Final = 0.4
"""By so much detection makes a stretch of speech longer at either end."""
_LEAST_S: Final = 0.4
"""Less speech than this is not looked for: a breath, the end of a word."""
_GAP_S: Final = 1.6
"""Between words of one stretch a pause may be so long."""


def missed(speech: Sequence[Span], said: Iterable[Span]) -> list[Span]:
    """Stretches of speech in which nothing was said, as `speech` has them, and what is left of others."""
    words = sorted(said)
    found: list[Span] = []
    for start, end in speech:
        inside = [(first, last) for first, last in words if last > start and first < end]
        if not inside:
            if end - start >= 2 * _PADDED_S + _LEAST_S:
                found.append((start, end))
            continue
        # What detection added at the ends is no pause.
        at = start + _PADDED_S
        for first, last in [*inside, (end - _PADDED_S, end)]:
            if first - at >= _GAP_S:
                found.append((max(start, at), min(end, first)))
            at = max(at, last)
    return found
