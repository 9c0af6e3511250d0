"""Showing a pull: bars on a terminal, lines anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from whisperd.models.progress import Moved, Progress

_LINES_PER_TRANSFER: Final = 4
_WORTH_LINES_BYTES: Final = 50_000_000


@contextmanager
def shown_on(console: Console) -> Iterator[Progress]:
    """The progress of a pull, in the way that suits `console`."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bars:
        yield Terminal(bars)


class Terminal:
    """Bars that vanish when they are full, with lines above them."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    def say(self, line: str) -> None:
        """One line."""
        self._bars.console.print(line, highlight=False, markup=False)

    @contextmanager
    def transfer(self, label: str, total: int) -> Iterator[Moved]:
        """A bar."""
        task = self._bars.add_task(label, total=total)
        try:
            yield lambda done: self._bars.update(task, completed=done)
        finally:
            self._bars.remove_task(task)


class Lines:
    """A line for a transfer, and a few more while a large one goes on."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        """One line."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def transfer(self, label: str, total: int) -> Iterator[Moved]:
        """A line at its start, and at each quarter."""
        self.say(f"  {label}: {total / 1e6:.1f} MB")
        told = 0

        def moved(done: int) -> None:
            nonlocal told
            part = done * _LINES_PER_TRANSFER // total
            if told < part < _LINES_PER_TRANSFER and total >= _WORTH_LINES_BYTES:
                told = part
                self.say(f"  {label}: {100 * part // _LINES_PER_TRANSFER} %")

        yield moved
