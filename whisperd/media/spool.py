"""Uploads on disk: a private directory for each request, gone when the request is."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from whisperd.media.disk import needing_room


class Spool:
    """A directory that holds nothing but the private directories of running requests."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def sweep(self) -> int:
        """Make the spool, and remove what a crash left in it; returns how many directories that were."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
        orphans = [path for path in self.root.iterdir() if path.is_dir()]
        for orphan in orphans:
            shutil.rmtree(orphan, ignore_errors=True)
        return len(orphans)

    @contextlib.contextmanager
    def directory(self) -> Iterator[Path]:
        """A new directory, removed with all in it on the way out. Raises Unavailable on a full disk."""
        path = self.root / secrets.token_hex(12)
        with needing_room():
            path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
