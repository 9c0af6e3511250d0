"""`known_speaker_names[]` and `known_speaker_references[]`: people whose voices the caller sends along."""

import asyncio
import base64
import binascii
import re
from pathlib import Path
from typing import Any, Final

from whisperd.errors import ParameterError
from whisperd.transcript.model import KnownSpeaker
from whisperd.web.fields import Field, Values, text

MAX_KNOWN: Final = 4

_DATA_URL: Final = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


def _name(value: str) -> str:
    if len(value) > 64 or not value.isprintable():
        raise ValueError("a name of up to 64 printable characters")
    return value


def _reference(value: str) -> str:
    if not _DATA_URL.match(value):
        raise ValueError("a recording as a data URL in base64: data:audio/wav;base64,...")
    return value


NAMES: Final = text(
    "known_speaker_names[]",
    f"Names for the speakers whose voices are sent, {MAX_KNOWN} at most.",
    _name,
    repeated=True,
)
REFERENCES: Final = text(
    "known_speaker_references[]",
    "The voice of each of them, in the same order: 2 seconds or longer (OpenAI takes up to 10) in any "
    "container, as a data URL.",
    _reference,
    repeated=True,
    max_bytes=8 * 2**20,
)
FIELDS: Final[tuple[Field[Any], ...]] = (NAMES, REFERENCES)


async def read_voices(values: Values, directory: Path) -> tuple[KnownSpeaker, ...]:
    """The known speakers, their recordings written to the directory. Raises ParameterError."""
    names = [name for name in values.every(NAMES) if name]
    references = [reference for reference in values.every(REFERENCES) if reference]
    if len(names) > MAX_KNOWN:
        raise ParameterError(f"{len(names)} known speakers; {MAX_KNOWN} are possible", param=NAMES.name)
    if len(names) != len(references):
        raise ParameterError(
            f"known_speaker_names[] has {len(names)} names and known_speaker_references[] {len(references)} "
            "recordings; send one for each",
            param=REFERENCES.name,
        )
    if len(set(names)) != len(names):
        raise ParameterError("two of known_speaker_names[] are the same", param=NAMES.name)
    paths = [directory / f"voice-{number}" for number in range(len(names))]
    for path, reference in zip(paths, references, strict=True):
        await asyncio.to_thread(_write, path, reference)
    return tuple(KnownSpeaker(name, path) for name, path in zip(names, paths, strict=True))


def _write(path: Path, reference: str) -> None:
    try:
        recording = base64.b64decode(reference.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise ParameterError(
            "one of known_speaker_references[] is no valid base64", param=REFERENCES.name
        ) from error
    path.write_bytes(recording)
