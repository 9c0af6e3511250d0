"""The gate that every request passes: who sends it, whether they may, and whether they sent too many.

Whatever is wrong with a key is told in the same words, after the same work.
"""

import asyncio
import contextlib
import datetime
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final

from whisperd.access import networks
from whisperd.access.caller import PERMISSIONS, Caller, Permission
from whisperd.access.limits import Limits, Quota
from whisperd.access.ring import Ring, note_used
from whisperd.access.schema import SCHEMA, database
from whisperd.access.usage import Usage, fold
from whisperd.config.live import Live
from whisperd.config.secret import read_secret
from whisperd.errors import Forbidden, InvalidKey, Unauthorized, WhisperdError
from whisperd.sqlite import Database

logger = logging.getLogger(__name__)

STATIC: Final = "static"
"""The owner of what comes with the static key, and that key's id."""

_WRITE_S: Final = 1.0
_TIDY_S: Final = 60.0
_FOLD_S: Final = 3600.0


class Gate:
    """Tells callers by their keys, or by where they are. Works while `tended` is open."""

    def __init__(
        self, live: Live, *, limits: Limits | None = None, now: Callable[[], datetime.datetime] | None = None
    ) -> None:
        self.usage = Usage()
        self._live = live
        self._limits = limits or Limits()
        self._now = now or _now
        self._static: bytes | None = None
        """Digest of the static key."""
        self._used: dict[str, datetime.datetime] = {}
        """When keys were used that the database has not been told of."""
        self._ring: Ring

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Open the keys and the rows of usage, and keep them in order. Raises StartError."""
        config = self._live.current
        if config.access.static_key_file != "none":
            self._static = _digest(read_secret(config.access.static_key_file, "access.static_key_file"))
        books = await Database.open(database(config.paths.state), SCHEMA)
        try:
            self._ring = Ring.open(config.paths.state)
            stop = asyncio.Event()
            tending = asyncio.create_task(self._tend(books, stop))
            try:
                yield
            finally:
                stop.set()
                await tending
                self._ring.close()
        finally:
            await books.close()

    # ---- requests --------------------------------------------------------------------------------

    def admit(self, authorization: str | None, addresses: Sequence[str | None]) -> Caller:
        """Who sends a request with this header, from these addresses: the peer's, and those it speaks for.

        A key that can't be used is no worse than none where none is needed: OpenAI's clients always send
        one. Raises Unauthorized, InvalidKey, Forbidden, Unavailable.
        """
        text = key_in(authorization)
        if text and (caller := self._holder(text)):
            return caller
        access = self._live.current.access
        if access.require_key == "never" or networks.are_in(addresses, access.trusted_networks):
            return Caller()
        if not self.requires_key:
            if networks.are_private(addresses):
                return Caller()
            raise Forbidden(
                "this server has no keys yet, and until then serves private networks alone; its "
                "administrator makes a key with `whisperd keys create`"
            )
        if authorization is None:
            raise Unauthorized("Missing Authorization header")
        if text is None:
            raise Unauthorized("Invalid Authorization header format")
        raise InvalidKey("Invalid or expired API key")

    @property
    def requires_key(self) -> bool:
        """Whether a key is needed where no network is trusted. Raises Unavailable."""
        match self._live.current.access.require_key:
            case "auto":
                return self._static is not None or self._ring.has_keys()
            case "always":
                return True
            case "never":
                return False

    def spend(self, caller: Caller) -> Quota | None:
        """Count a request that begins something; None for callers without a limit."""
        if caller.key_id is None or caller.rate_limit is None:
            return None
        return self._limits.spend(caller.key_id, caller.rate_limit, self._live.current.access.burst)

    def _holder(self, text: str) -> Caller | None:
        at = self._now()
        key = self._ring.find(text, at=at)
        static = self._static is not None and secrets.compare_digest(_digest(text), self._static)
        if key:
            self._used[key.id] = at
            return key.caller()
        return _STATIC_CALLER if static else None

    # ---- beside them -----------------------------------------------------------------------------

    async def _tend(self, books: Database, stop: asyncio.Event) -> None:
        """Until told to stop; never cut off, so that no row is lost or written twice."""
        loop = asyncio.get_running_loop()
        tidied = folded = float("-inf")
        while not stop.is_set():
            if loop.time() - folded >= _FOLD_S:
                await self._fold(books)
                folded = loop.time()
            if loop.time() - tidied >= _TIDY_S:
                self._limits.forget()
                await self._note_used(books)
                tidied = loop.time()
            await self.usage.write(books)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WRITE_S):
                    await stop.wait()
        await self._note_used(books)
        await self.usage.write(books)

    async def _note_used(self, books: Database) -> None:
        used, self._used = self._used, {}
        if used:
            with _logged("noting when keys were used"):
                await books.write(lambda connection: note_used(connection, used))

    async def _fold(self, books: Database) -> None:
        before = self._now() - datetime.timedelta(seconds=self._live.current.access.keep_usage)
        with _logged("folding old rows of usage"):
            if count := await books.write(lambda connection: fold(connection, before)):
                logger.info("made sums of %d rows of usage", count)


_STATIC_CALLER: Final = Caller(
    owner=STATIC, key_id=STATIC, permissions=frozenset[Permission](PERMISSIONS) - {"admin"}
)


def key_in(authorization: str | None) -> str | None:
    """The key in the header: behind `Bearer`, in any case, or alone; None where there is none."""
    match (authorization or "").split():
        case [key] if key.lower() != "bearer":
            return key
        case [scheme, key] if scheme.lower() == "bearer":
            return key
    return None


def authorize(caller: Caller, permission: Permission | None) -> None:
    """Raise Forbidden for whoever may not; None is what everybody may who was admitted."""
    if permission is not None and permission not in caller.permissions:
        raise Forbidden(f"this API key does not have the permission {permission!r}")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    """Failures of what nobody waits for are for the journal."""
    try:
        yield
    except WhisperdError as error:
        logger.warning("%s failed: %s", what, error)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
