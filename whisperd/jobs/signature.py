"""Signatures of webhooks, as Standard Webhooks specifies them.

Each owner has a signing secret, made from the one secret of this server: nothing has to be kept for it, and
nobody can sign for anybody else.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from whisperd.config.schema import Config
from whisperd.config.secret import read_secret
from whisperd.errors import StartError

_SECRET_BYTES: Final = 32
_LEAST_CHARACTERS: Final = 24
"""Of a secret that somebody wrote: 18 bytes in base64."""


class Signer:
    """Signs for every owner."""

    def __init__(self, server_secret: bytes) -> None:
        self._server_secret = server_secret

    @classmethod
    def of(cls, config: Config) -> "Signer":
        """With the configured secret, or that of the state directory, which is made at first use.

        Raises StartError.
        """
        path = config.webhooks.secret_file
        if path == "none":
            return cls(_kept(config.paths.state / "webhook.secret"))
        secret = read_secret(path, "webhooks.secret_file")
        if len(secret) < _LEAST_CHARACTERS:
            raise StartError(
                f"the secret in {path} (webhooks.secret_file) is too short: {_LEAST_CHARACTERS} characters "
                "are the least"
            )
        return cls(secret.encode())

    def secret_of(self, owner: str) -> str:
        """The owner's signing secret as receivers are given it: `whsec_` and base64."""
        return "whsec_" + base64.b64encode(self._key(owner)).decode()

    def headers(self, owner: str, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The headers that a receiver verifies; `timestamp` is that of the attempt, in seconds since 1970."""
        signed = b"%s.%d.%s" % (webhook_id.encode(), timestamp, body)
        signature = base64.b64encode(hmac.digest(self._key(owner), signed, "sha256")).decode()
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": f"v1,{signature}",
        }

    def _key(self, owner: str) -> bytes:
        return hmac.digest(self._server_secret, owner.encode(), hashlib.sha256)


def _kept(path: Path) -> bytes:
    """The secret of a file, which is made if there is none."""
    try:
        if not path.exists():
            _make(path)
        secret = path.read_bytes()
    except OSError as error:
        raise StartError(f"can't keep a secret in {path}: {error.strerror}") from error
    if len(secret) != _SECRET_BYTES:
        raise StartError(
            f"{path} is damaged: it has {len(secret)} bytes instead of {_SECRET_BYTES}. Restore it, or "
            "remove it for a new one: every owner's signing secret changes with it"
        )
    return secret


def _make(path: Path) -> None:
    """Write a secret whole or not at all, and leave one that somebody else made meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(unfinished)
    finally:
        unfinished.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
