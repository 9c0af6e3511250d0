"""SHA-256 of files that may be larger than memory."""

import hashlib
from pathlib import Path

from whisperd.models.sources import File


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def matches(path: Path, file: File) -> bool:
    """Whether `path` holds exactly the bytes that `file` is pinned to."""
    return path.is_file() and path.stat().st_size == file.size and sha256(path) == file.sha256
