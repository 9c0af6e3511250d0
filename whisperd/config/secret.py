"""Files that hold a secret, alone on their first line, and the credentials that systemd passes as files."""

import os
from pathlib import Path

from whisperd.config.kinds import CREDENTIAL
from whisperd.errors import ConfigError, StartError


def located(path: Path) -> Path | None:
    """Where such a file is: a credential lies in a directory that the service alone is told of.

    None for a credential where there is no such directory: outside of the service, or in one whose unit
    loads no credential.
    """
    if not str(path).startswith(CREDENTIAL):
        return path
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory, str(path).removeprefix(CREDENTIAL)) if directory else None


def no_credential(path: Path) -> str:
    """What to say where `located` finds nothing."""
    return f"there is no {path}: the unit needs LoadCredential={str(path).removeprefix(CREDENTIAL)}:/PATH"


def readable(path: Path, option: str) -> Path:
    """Where the file named by an option is. Raises ConfigError if it can't be read."""
    file = located(path)
    if file is None:
        raise ConfigError(f"{option}: {no_credential(path)}")
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise ConfigError(f"{option}: can't read {path}: {error.strerror}") from error


def read_secret(path: Path, option: str) -> str:
    """What the file named by an option holds. Raises StartError."""
    file = located(path)
    if file is None:
        raise StartError(f"{no_credential(path)} ({option})")
    try:
        secret = file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise StartError(f"can't read the secret in {path} ({option}): {reason}") from error
    if not secret:
        raise StartError(f"there is nothing on the first line of {path} ({option})")
    return secret
