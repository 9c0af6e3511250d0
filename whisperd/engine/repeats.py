"""Words that were said, or printed, a second time."""

import re
from collections.abc import Sequence
from typing import Final

_LEAKED_WORDS: Final = 6
"""So many words of the prompt in a row are not said by chance."""
_FEWEST_LEAKED_WORDS: Final = 3


def leaked(hint: str, text: str) -> bool:
    """Whether the decoder printed what it was only to bear in mind."""
    said, hinted = plain_words(text), plain_words(hint)
    length = min(len(hinted), _LEAKED_WORDS)
    if length < _FEWEST_LEAKED_WORDS:
        return False
    return any(_in(said, hinted[start : start + length]) for start in range(len(hinted) - length + 1))


def contains(text: str, part: str) -> bool:
    """Whether all words of `part` stand in `text`, one after the other."""
    return _in(plain_words(text), plain_words(part))


def plain_words(text: str) -> list[str]:
    """Without case and punctuation."""
    return re.findall(r"\w+", text.casefold())


def _in(words: Sequence[str], run: Sequence[str]) -> bool:
    return any(words[at : at + len(run)] == run for at in range(len(words) - len(run) + 1))
