"""Who sent a request."""

from typing import Final, Literal, get_args

from msgspec import Struct

Permission = Literal["stt", "jobs", "llm", "admin"]
PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

ANYBODY: Final = "anybody"
"""The owner of what comes without a key."""


class Caller(Struct, frozen=True, kw_only=True):
    """The owner of what is sent, and what they may do."""

    owner: str = ANYBODY
    """Those who share it see the same jobs."""
    organization_id: str | None = None
    key_id: str | None = None
    permissions: frozenset[Permission] = frozenset(PERMISSIONS)
    rate_limit: int | None = None
    """Requests a minute that may begin something; None for any number."""
