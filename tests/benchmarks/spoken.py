"""Speech whose words are known: single clips, and a long recording joined of them."""

import csv
import itertools
import re
import wave
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import jiwer
import numpy as np
from faster_whisper import decode_audio
from numpy.typing import NDArray
from recordings import CORPUS, conversation

LONG_S: Final = 363
_RATE_HZ: Final = 16_000
_PAUSE_S: Final = 0.5

Samples = NDArray[np.float32]


class Spoken(NamedTuple):
    """A WAV file of 16 kHz, and what is said in it."""

    path: Path
    samples: Samples
    words: str


def clips(directory: Path) -> list[Spoken]:
    """The recordings of the corpus that have a reference, 2.3 to 11 s; none where it is absent."""
    table = CORPUS / "speech" / "transcripts.tsv"
    if not table.exists():
        return []
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        _spoken(
            directory / f"{Path(row['file']).stem}.wav",
            decode_audio(str(CORPUS / "speech" / row["file"])),
            row["text"],
        )
        for row in rows
    ]


def telephone(directory: Path) -> Spoken:
    """The conversation that pyannote.audio's package carries, 30 s."""
    turns = conversation().with_suffix(".stm").read_text(encoding="utf-8").splitlines()
    words = " ".join(turn.split(maxsplit=5)[5] for turn in turns)
    return _spoken(directory / "telephone.wav", decode_audio(str(conversation())), words)


def joined(directory: Path, parts: Sequence[Spoken], seconds: int = LONG_S) -> Spoken:
    """The same over and over, half a second apart."""
    chosen = list(_until(itertools.cycle(parts), seconds))
    pause = np.zeros(round(_PAUSE_S * _RATE_HZ), np.float32)
    samples = np.concatenate([sound for part in chosen for sound in (part.samples, pause)])
    return _spoken(directory / f"joined-{seconds}.wav", samples, " ".join(part.words for part in chosen))


def errors(reference: str, text: str) -> int:
    """Words that are wrong, too many or missing; case, punctuation and the writing of numbers don't count."""
    counted = jiwer.process_words(_normal(reference), _normal(text) or "-")
    return int(counted.substitutions + counted.deletions + counted.insertions)


def length(reference: str) -> int:
    """In words."""
    return len(_normal(reference).split())


def _until(parts: Iterable[Spoken], seconds: int) -> Iterator[Spoken]:
    made = 0.0
    for part in parts:
        if made >= seconds:
            return
        made += len(part.samples) / _RATE_HZ + _PAUSE_S
        yield part


def _normal(text: str) -> str:
    numbers = {"2": "two"}
    words = re.sub(r"[^a-z0-9' ]", "", re.sub(r"[-,.]", " ", text.lower())).split()
    return " ".join(numbers.get(word, word) for word in words)


def _spoken(path: Path, samples: Samples, words: str) -> Spoken:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return Spoken(path, samples, words)
