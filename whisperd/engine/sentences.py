"""Text cut into the sentences that a translation model was trained on.

A sentence ends at `.`, `!`, `?` or `…` where white space follows and then no small letter, and at the full
stops of Chinese and Japanese. A full stop does not end it after an initial, after a title or another usual
abbreviation, or after a number of one or two digits, which is a German date or the start of a list's item.
"""

# ruff: noqa: RUF001 - quotation marks and full stops that look like others are what this is about

import re
from typing import Final

_CLOSING: Final = r"""["'”’»)\]]*"""
_END: Final = re.compile(rf"[.!?…]+{_CLOSING}\s+|[。！？]+[」』”）]*\s*")
_LAST_WORD: Final = re.compile(r"\w+$")
_ABBREVIATIONS: Final = frozenset(
    [
        "capt",
        "cf",
        "col",
        "dr",
        "dra",
        "fig",
        "gen",
        "hon",
        "hr",
        "lt",
        "mlle",
        "mme",
        "mr",
        "mrs",
        "ms",
        "mt",
        "nr",
        "prof",
        "rev",
        "sgt",
        "sr",
        "sra",
        "srta",
        "st",
        "ud",
        "uds",
        "vs",
    ]
)
_CLAUSE_END: Final = re.compile(r"[,;:、，；：]\s*|\s[-–—]\s")
_SPACE: Final = re.compile(r"\s+")

# Moses' normalization, which the models' training data went through. SentencePiece does more of the kind.
_PLAIN: Final = str.maketrans(
    {
        "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
        "‘": "'", "’": "'", "‚": "'", "´": "'",
        "–": "-", "—": " - ", "。": ". ", "、": ", ",
    }
)  # fmt: skip


def plain(sentence: str) -> str:
    """A sentence with the marks of punctuation that the models know."""
    return sentence.translate(_PLAIN)


def sentences(line: str) -> list[str]:
    """The sentences of a line, without the white space around them; none for an empty line."""
    starts = [0, *(match.end() for match in _END.finditer(line) if _ends(line, match))]
    cut = (line[start:end].strip() for start, end in zip(starts, [*starts[1:], len(line)], strict=True))
    return [sentence for sentence in cut if sentence]


def _ends(line: str, match: re.Match[str]) -> bool:
    if match[0][0] in "。！？":
        return True
    following = line[match.end() : match.end() + 1]
    if following.islower():
        return False
    word = _LAST_WORD.search(line, 0, match.start())
    if not match[0].startswith(".") or word is None:
        return True
    return not (
        (len(word[0]) == 1 and word[0].isalpha())
        or (len(word[0]) <= 2 and word[0].isdigit())
        or word[0].lower() in _ABBREVIATIONS
    )


def halves(sentence: str) -> tuple[str, str]:
    """A sentence of two characters or more in two parts, neither empty.

    It is cut as near to its middle as may be: where a clause ends or else between words, unless that leaves
    less than a quarter on one side.
    """
    middle = len(sentence) // 2
    for boundary in (_CLAUSE_END, _SPACE):
        places = [match.end() for match in boundary.finditer(sentence)]
        place = min(places, key=lambda place: abs(place - middle), default=0)
        if len(sentence) <= 4 * place <= 3 * len(sentence):
            return sentence[:place].strip(), sentence[place:].strip()
    return sentence[:middle], sentence[middle:]
