"""A small disk of our own, in a file: it can be filled, and its power can fail.

When power fails, all is lost that had not been written through. The file behind the disk holds just that:
what the file system was asked to sync, or wrote by itself. So a copy of it, taken while the file system is
still mounted, is the disk as the next boot finds it.
"""

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, Self

_BALLAST: Final = "ballast"
_LEFT_BYTES: Final = 8192
"""Left when it is full: too little for anything, but not nothing."""


def why_no_disk() -> str | None:
    """Why there can be no such disk here."""
    if os.geteuid() != 0:
        return "a disk of its own needs root"
    if not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None:
        return "a disk of its own needs loop devices and mkfs.ext4"
    return None


class Disk:
    """An ext4 of some MiB, mounted at `path`."""

    def __init__(self, directory: Path, mib: int) -> None:
        self.path = directory / "disk"
        self._image = directory / "disk.img"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(mib * 2**20)
        _run("mkfs.ext4", "-q", "-m", "0", self._image)

    def __enter__(self) -> Self:
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", self.path)

    def _mount(self) -> None:
        # commit: the file system syncs by itself as seldom as it may
        _run("mount", "-o", "loop,noatime,commit=600", self._image, self.path)

    def lose_power(self) -> None:
        """Forget what was not synced. No process may use the disk any more."""
        copy = self._image.with_suffix(".copy")
        shutil.copyfile(self._image, copy)
        _run("umount", self.path)
        copy.replace(self._image)
        self._mount()


def fill(directory: Path) -> None:
    """Leave no room to speak of on the directory's disk."""
    with (directory / _BALLAST).open("wb") as ballast:
        size = 0
        while (free := shutil.disk_usage(directory).free) > _LEFT_BYTES:
            more = max(4096, (free - _LEFT_BYTES) // 2)
            try:
                os.posix_fallocate(ballast.fileno(), size, more)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    return
                raise
            size += more


def empty(directory: Path) -> None:
    """Give the room back."""
    (directory / _BALLAST).unlink()


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
