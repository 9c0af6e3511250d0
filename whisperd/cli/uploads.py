"""Showing how a recording fares: sent so far, then the time that the daemon works on it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from whisperd.cli.client import Moved


@contextmanager
def shown(name: str, size: int | None) -> Iterator[Moved]:
    """A bar on stderr while the recording is sent and worked on; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _finished: None
        return
    from rich.console import Console
    from rich.filesize import decimal
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task(name, total=size, state="sending")

        def moved(done: int, finished: bool) -> None:
            if finished:
                bars.update(task, total=None, state="working")
            else:
                of = f" of {decimal(size)}" if size is not None else ""
                bars.update(task, completed=done, state=f"{decimal(done)}{of}")

        yield moved
