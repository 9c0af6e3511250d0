"""Pairs of languages, and the models that translate from the one to the other.

A Marian model is named as its authors name it, `opus-mt-SOURCE-TARGET`; whatever has such a name is for
that pair.
"""

import re
from typing import Final

from whisperd.transcript.languages import LANGUAGES

Pair = tuple[str, str]
"""The codes of two languages: from, and to."""

_NAME: Final = re.compile(r"opus-mt-([a-z]{2,3})-([a-z]{2,3})")


def model_name(pair: Pair) -> str:
    """The name of the model for a pair."""
    source, target = pair
    return f"opus-mt-{source}-{target}"


def pair_of(model: str) -> Pair | None:
    """The pair that a model is for; None for a name that says nothing of the kind."""
    match = _NAME.fullmatch(model)
    return (match[1], match[2]) if match else None


def describe(pair: Pair) -> str:
    """For people: English to French."""
    source, target = (LANGUAGES.get(code, code).title() for code in pair)
    return f"{source} to {target}"
