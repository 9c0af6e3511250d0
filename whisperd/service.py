"""The only door from `web/` to the engine."""

from collections.abc import Callable
from typing import Protocol

from whisperd.status import Status
from whisperd.transcript.model import Request, Transcript

Progress = Callable[[float], None]
"""Told the position in the recording, in seconds, that the slowest stage has reached."""


class Service(Protocol):
    """What a dialect may ask for."""

    async def process(self, request: Request, progress: Progress | None = None) -> Transcript:
        """Answer one request. Cancelling the task frees the engine. Raises WhisperdError."""
        ...

    def status(self) -> Status:
        """The state of the service, now."""
        ...

    def languages(self) -> frozenset[str]:
        """Language codes that the loaded model knows; empty until it is loaded."""
        ...

    def models(self) -> tuple[str, ...]:
        """Names of the models that a request may ask for."""
        ...
