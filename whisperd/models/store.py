"""The models that are installed: one directory each, under `<state>/models`, with a manifest.

A directory without a manifest was put there by hand; it is used as it is. Names that start with a dot
are the pull's own.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from whisperd.errors import ModelFilesError
from whisperd.models import catalogue
from whisperd.models.checksum import sha256
from whisperd.models.sources import File, ModelKind
from whisperd.transcript.pairs import Pair, pair_of

MANIFEST: Final = "manifest.json"
_FIRST_LOGIN_UID: Final = 1000
"""Accounts below are the system's (login.defs), and nobody types a command as one of them."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What was installed, written when it was complete."""

    name: str
    kind: ModelKind
    source: str
    licence: str
    pulled_at: datetime
    files: tuple[File, ...]


class Installed(Struct, frozen=True):
    """A model's directory; `manifest` is None for one that was put there by hand."""

    name: str
    path: Path
    size_bytes: int
    manifest: Manifest | None


class Store:
    """The models under one state directory. Reads it anew at each call."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.root = state / "models"

    def resolve_alias(self, name: str) -> str:
        """The catalogue's own name for a model; any other name is returned as it is."""
        return catalogue.resolve_alias(name)

    def directory(self, name: str) -> Path:
        """Where the model is, or would be. Raises ModelFilesError for a name that can't be a directory's."""
        if Path(name).is_absolute():
            return Path(name)
        directory = self.resolve_alias(name)
        if not directory or directory.startswith(".") or "/" in directory or "\0" in directory:
            raise ModelFilesError(f"{name!r} can't be the name of a model")
        return self.root / directory

    def path(self, name: str) -> Path | None:
        """The model's directory, None when it is not installed. An absolute path stands for itself."""
        directory = self.directory(name)
        try:
            return directory if directory.is_dir() else None
        except OSError as error:
            raise ModelFilesError(f"can't read {directory}: {error.strerror}") from error

    def installed(self) -> list[Installed]:
        """Every installed model, by name. Raises ModelFilesError where the directory can't be read."""
        try:
            directories = sorted(path for path in self.root.iterdir() if not path.name.startswith("."))
            return [self._describe(path) for path in directories if path.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ModelFilesError(f"can't read {error.filename}: {error.strerror}") from error

    def pairs(self) -> dict[Pair, str]:
        """The installed translation models by the languages that they are for. Raises ModelFilesError."""
        try:
            names = sorted(path.name for path in self.root.iterdir() if path.is_dir())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ModelFilesError(f"can't read {error.filename}: {error.strerror}") from error
        return {pair: name for name in names if (pair := pair_of(name))}

    def _describe(self, path: Path) -> Installed:
        files = (file for file in path.rglob("*") if file.is_file())
        manifest = read_manifest(path)
        return Installed(
            name=manifest.name if manifest else path.name,
            path=path,
            size_bytes=sum(file.stat().st_size for file in files),
            manifest=manifest,
        )

    def verify(self, name: str, *, checksums: bool = True) -> list[str]:
        """What is wrong with an installed model; empty when nothing is, or nothing is known about it.

        Without `checksums` only sizes are compared, which costs no reading.
        """
        path = self.path(name)
        if path is None:
            return ["not installed"]
        try:
            manifest = read_manifest(path)
        except ModelFilesError as error:
            return [error.message]
        if manifest is None:
            pulled = catalogue.find(name) is not None and not Path(name).is_absolute()
            return [f"{MANIFEST} is missing"] if pulled else []
        problems = (_problem(path / file.path, file, checksums=checksums) for file in manifest.files)
        return [problem for problem in problems if problem]

    def pull_command(self, name: str) -> str:
        """The command that installs, or mends, a model."""
        command = f"whisperd models pull {self.resolve_alias(name)}"
        existing = next(path for path in (self.state, *self.state.parents) if path.exists())
        system_account = existing.stat().st_uid < _FIRST_LOGIN_UID
        return f"sudo {command}" if system_account and os.geteuid() != 0 else command


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a model's directory. Raises ModelFilesError when it can't be read."""
    try:
        return msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelFilesError(f"{MANIFEST} can't be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ModelFilesError(f"{MANIFEST} is damaged: {error}") from error


def _problem(path: Path, file: File, *, checksums: bool) -> str | None:
    try:
        size = path.stat().st_size
        if size != file.size:
            return f"{file.path} has {size} bytes instead of {file.size}"
        if checksums and sha256(path) != file.sha256:
            return f"{file.path} has the wrong SHA-256"
    except FileNotFoundError:
        return f"{file.path} is missing"
    except OSError as error:
        return f"{file.path} can't be read: {error.strerror}"
    return None
