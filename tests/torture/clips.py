"""Short recordings that all say something else, so that a transcript tells whose it is."""

import io
import re
import struct
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from recordings import conversation

_SPEECH_FROM_S: Final = 5.0
"""Nothing is said before."""
_STRETCH_S: Final = 2.5
_STRETCHES: Final = 10
_APART: Final = 3
"""How far the second stretch of a pair lies from the first."""
_LIKE: Final = 0.7
"""How like its own words a transcript must be. Two clips' words are less alike."""


@dataclass(frozen=True)
class Clip:
    """A recording of a few seconds."""

    name: str
    wav: bytes


def clips() -> list[Clip]:
    """Each stretch of a conversation, and each with another one behind it."""
    with wave.open(str(conversation()), "rb") as whole:
        params = whole.getparams()
        whole.setpos(round(_SPEECH_FROM_S * params.framerate))
        count = round(_STRETCH_S * params.framerate)
        stretches = [whole.readframes(count) for _ in range(_STRETCHES)]
    pairs = [(n, (n + _APART) % _STRETCHES) for n in range(_STRETCHES)]
    parts = [(n,) for n in range(_STRETCHES)] + pairs
    return [
        Clip("-".join(map(str, part)), _wav(params, b"".join(stretches[n] for n in part))) for part in parts
    ]


def _wav(params: "wave._wave_params", frames: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setparams(params)
        target.writeframes(frames)
    return file.getvalue()


def marked(wav: bytes, mark: str) -> bytes:
    """The same recording in other bytes: with a chunk at its end that no decoder reads."""
    text = mark.encode().ljust(16)
    body = wav[8:] + b"mark" + struct.pack("<I", len(text)) + text
    return b"RIFF" + struct.pack("<I", len(body)) + body


def words(text: str) -> list[str]:
    """A transcript's words, without case and punctuation."""
    return re.findall(r"[a-z']+", text.lower())


def says(text: str, name: str, references: Mapping[str, str]) -> bool:
    """Whether a transcript is that of the clip, and of no other."""
    likeness = {
        other: SequenceMatcher(None, words(text), words(said), autojunk=False).ratio()
        for other, said in references.items()
    }
    return likeness[name] >= _LIKE and likeness[name] == max(likeness.values())
