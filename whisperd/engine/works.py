"""What is asked of the model, and what it answers."""

from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from numpy.typing import NDArray

from whisperd.engine.attempts import Attempts, Decoded
from whisperd.engine.batching import Line
from whisperd.engine.coverage import Span
from whisperd.engine.features import Mel
from whisperd.engine.segments import Said
from whisperd.transcript.model import Task

BEST_OF: Final = 5
"""Texts that are sampled at a temperature above 0, to keep the most probable."""

Encoded = NDArray[Any]
"""A chunk's encoder output, shape (positions, dimensions)."""


@dataclass(eq=False, kw_only=True)
class Work:
    """A chunk on its way through the model."""

    line: "Line[Hearing | Transcribing]"
    features: Mel
    context: int
    """Frames to encode."""
    encoded: Encoded | None = None
    """Kept from an earlier turn."""


@dataclass(eq=False, kw_only=True)
class Hearing(Work):
    """Which language is it?"""

    done: "Future[Heard]" = field(default_factory=Future)

    @property
    def key(self) -> Hashable:
        """Windows of one length."""
        return ("language", self.context)


@dataclass(frozen=True, slots=True)
class Heard:
    """The probability of each language, by its code."""

    probabilities: dict[str, float]
    encoded: Encoded


@dataclass(eq=False, kw_only=True)
class Transcribing(Work):
    """What is said?"""

    language: str
    task: Task
    prompt: tuple[int, ...]
    beam_size: int
    speech: Sequence[Span] | None
    """Where in the chunk detection found it, in seconds; None where nothing vouches for it."""
    attempts: Attempts
    done: "Future[Spoken]" = field(default_factory=Future)

    @property
    def key(self) -> Hashable:
        """CTranslate2 wants prompts of one length and the same options; alignment one language and task."""
        temperature = self.attempts.temperature
        return (
            "text",
            self.context,
            len(self.prompt),
            self.language,
            self.task,
            temperature,
            self.beam_size if temperature == 0 else BEST_OF,
            self.encoded is None,
        )


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was made of a chunk."""

    decoded: Decoded
    said: list[Said]
    rests: list[Span]
    """What of the chunk is to be decoded once more, in its seconds."""
