"""What a key is: the text that its holder sends, and what is kept of it, which is not the text.

A text is a prefix and 32 random bytes, URL-safe. Kept is the SHA-256 of a salt and the text without its
prefix: with 256 random bits in it, nobody finds the text by trying, so a slow hash would gain nothing.
"""

import datetime
import hashlib
import secrets
from typing import Final, Literal

from msgspec import Struct

from whisperd.access.caller import PERMISSIONS, Caller, Permission

PREFIX: Final = "lx_"
Grant = Permission | Literal["*"]
"""`*` stands for every permission, also those that are still to come."""
GRANTS: Final[tuple[Grant, ...]] = (*PERMISSIONS, "*")
_SHORTEST: Final = 20
_RANDOM_BYTES: Final = 32


class Key(Struct, frozen=True, kw_only=True):
    """A key as it is kept and told of. Times are aware, in UTC."""

    id: str
    name: str
    owner: str
    organization_id: str | None = None
    permissions: tuple[Grant, ...]
    rate_limit: int
    """Requests a minute."""
    created_at: datetime.datetime
    expires_at: datetime.datetime | None = None
    revoked_at: datetime.datetime | None = None
    last_used_at: datetime.datetime | None = None
    """To the minute or so."""

    def valid(self, at: datetime.datetime) -> bool:
        """Whether it opens anything then."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def caller(self) -> Caller:
        """Whoever sends it."""
        granted = frozenset(grant for grant in self.permissions if grant != "*")
        return Caller(
            owner=self.owner,
            organization_id=self.organization_id,
            key_id=self.id,
            permissions=frozenset(PERMISSIONS) if "*" in self.permissions else granted,
            rate_limit=self.rate_limit,
        )


def new_text() -> str:
    """What a new key's holder is given, once."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def new_id() -> str:
    """Short enough to be typed; the ring refuses one that is taken."""
    return secrets.token_hex(4)


def new_salt() -> str:
    """For keys that are made here."""
    return secrets.token_hex(32)


def well_formed(text: str) -> bool:
    """Whether it could be a key."""
    return text.startswith(PREFIX) and len(text) >= _SHORTEST


def digest(text: str, salt: str) -> str:
    """What is kept of a key: 64 hexadecimal digits. The prefix has no part in it."""
    secret = (salt + text.removeprefix(PREFIX)).encode(errors="surrogateescape")
    return hashlib.sha256(secret).hexdigest()
