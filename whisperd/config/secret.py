"""Files that hold a secret, alone on their first line."""

from pathlib import Path

from whisperd.errors import StartError


def read_secret(path: Path, option: str) -> str:
    """What the file named by an option holds. Raises StartError."""
    try:
        secret = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise StartError(f"can't read the secret in {path} ({option}): {reason}") from error
    if not secret:
        raise StartError(f"there is nothing on the first line of {path} ({option})")
    return secret
