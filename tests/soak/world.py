"""What guests share: whom they ask, what they send, and what it should be heard as."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Final

from torture.clips import says, words
from torture.receiver import Receiver

from soak.asking import Answer, Asker, Wrong
from soak.material import Material, Recording

_LIKE: Final = 0.7
"""How like its own words the long recording's transcript must be."""
_NO_TEXT: Final = re.compile(r"^(WEBVTT|\d+|.* --> .*)?$", re.MULTILINE)


@dataclass
class World:
    """Everything that an errand needs."""

    asker: Asker
    material: Material
    receiver: Receiver
    receiver_url: str
    references: dict[str, str]
    """What was heard in each recording while nothing else happened."""
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    """For what needs a name of its own."""

    def expect(self, recording: Recording, heard: str) -> None:
        """Raise Wrong where a transcript is not that of the recording."""
        if not alike(heard, recording.says, self.references):
            wanted = self.references[recording.says]
            raise Wrong(f"{recording.filename}: heard {heard[:200]!r} in place of {wanted[:200]!r}")

    def served(self, recording: Recording) -> str:
        """A URL at which the recording can be fetched."""
        name = f"files/{recording.filename}"
        self.receiver.files.add(name, recording.data)
        return f"{self.receiver_url}/{name}"


def alike(heard: str, name: str, references: Mapping[str, str]) -> bool:
    """Whether these are the words of one recording and, where it is a clip, of no other clip."""
    wanted = references[name]
    if len(words(wanted)) > max(len(words(said)) for other, said in references.items() if other != name):
        return SequenceMatcher(None, words(heard), words(wanted), autojunk=False).ratio() >= _LIKE
    return says(heard, name, references)


def subtitles(answer: Answer) -> str:
    """The words of SubRip or WebVTT."""
    return " ".join(_NO_TEXT.sub("", answer.text).split())
