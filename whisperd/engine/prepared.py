"""A chunk that is ready for the model."""

from dataclasses import dataclass

from whisperd.engine.chunks import Chunk
from whisperd.engine.features import Mel, fitted
from whisperd.engine.works import Encoded


@dataclass(frozen=True, slots=True)
class Prepared:
    """With its features, and what was found out about it."""

    chunk: Chunk
    features: Mel
    encoded: Encoded | None = None
    language: str | None = None
    """Where it is not the recording's."""
    hinted: bool = True
    """Whether prompt and hotwords go with it."""
    rest: bool = False
    """Whether it is what another chunk left over: of that only a text is told that needs no second try."""

    @property
    def context(self) -> int:
        """Frames to encode."""
        return fitted(self.features.shape[1])
