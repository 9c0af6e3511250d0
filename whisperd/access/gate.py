"""The gate that every request passes: who sends it, whether they may, and whether it is their turn."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from whisperd.access.caller import Caller, Permission
from whisperd.access.usage import Usage
from whisperd.config.live import Live


class Gate:
    """Tells callers by their keys, or by where they are. Opened by `tended`."""

    usage: Usage

    def __init__(self, live: Live) -> None:
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator["Gate"]:
        """Open the keys and usage, and write the latter until the context is left. Raises StartError."""
        raise NotImplementedError
        yield

    def admit(
        self, authorization: str | None, addresses: Sequence[str | None], permission: Permission | None
    ) -> Caller:
        """Who sends a request with this header, from these addresses: the peer's, and those that it names.

        Raises Unauthorized, InvalidKey, Forbidden.
        """
        raise NotImplementedError
