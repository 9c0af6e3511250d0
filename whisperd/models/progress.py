"""How a pull tells what it does: lines, and how far each transfer is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Moved = Callable[[int], None]
"""Told how many bytes of a transfer there are by now."""


class Progress(Protocol):
    """Shows it to somebody."""

    def say(self, line: str) -> None:
        """One line."""
        ...

    def transfer(self, label: str, total: int) -> AbstractContextManager[Moved]:
        """A transfer of `total` bytes, for as long as the context lasts."""
        ...
