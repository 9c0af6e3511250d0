"""Telling other programs that a job has ended: at least once, or until a receiver failed for a day.

What is owed stands in the store. An attempt that was made but not noted, because this process died between
the two, is made again, with the same `webhook-id`.
"""

import asyncio
import contextlib
import datetime
import email.utils
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

from whisperd.config.live import Live
from whisperd.errors import ParameterError, UnknownJob, UrlRefused, WhisperdError
from whisperd.jobs.model import Attempt, Delivery
from whisperd.jobs.payload import payload
from whisperd.jobs.signature import Signer
from whisperd.jobs.store import Store
from whisperd.journal import fields
from whisperd.media.transfer import Transfers
from whisperd.media.urls import parse, shown
from whisperd.tasks import scoped

logger = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 32
MAX_PER_RECEIVER: Final = 2
"""A receiver that hangs has no more than these."""
FIRST_PAUSE: Final = datetime.timedelta(seconds=5)
LONGEST_PAUSE: Final = datetime.timedelta(hours=3)
_GROWTH: Final = 3.0
_JITTER: Final = (0.8, 1.2)
_HELD_S: Final = 10.0
"""Pause after a failure of our own."""
_LONGEST_SLEEP_S: Final = 60.0
"""The clock may be set meanwhile."""
_GONE: Final = 410
_MAX_URL_CHARACTERS: Final = 2048


def check_webhook_url(url: str) -> None:
    """Raise ParameterError for what no webhook can be sent to. Where it leads is checked at each attempt."""
    try:
        parsed = parse(url)
    except (ParameterError, UrlRefused) as error:
        raise ParameterError(f"webhook_url: {error.message}", param="webhook_url") from None
    if parsed.user is not None or parsed.password is not None:
        raise ParameterError("webhook_url must hold no user and no password", param="webhook_url")
    if len(url) > _MAX_URL_CHARACTERS:
        raise ParameterError(
            f"webhook_url is longer than {_MAX_URL_CHARACTERS} characters", param="webhook_url"
        )


class Courier:
    """Delivers the webhooks that the store owes."""

    def __init__(
        self,
        live: Live,
        store: Store,
        transfers: Transfers,
        *,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        jitter: Callable[[], float] = lambda: random.uniform(*_JITTER),  # noqa: S311 - no secret
    ) -> None:
        """`transfers` is for this courier alone. Raises StartError when there is no secret to sign with."""
        self._live = live
        self._store = store
        self._transfers = transfers
        self._signer = Signer.of(live.current)
        self._now = now
        self._jitter = jitter
        self._sending: dict[str, tuple[Delivery, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Send what is due for as long as the context is open."""
        try:
            async with scoped(asyncio.create_task(self._run())):
                yield
        finally:
            if tasks := [task for _, task in self._sending.values()]:
                async with scoped(*tasks):
                    pass
            await self._transfers.aclose()

    def poke(self) -> None:
        """Say that something may be owed now."""
        self._wake.set()

    def secret_of(self, owner: str) -> str:
        """The secret that the owner's receivers verify signatures with: `whsec_` and base64."""
        return self._signer.secret_of(owner)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                timeout_s = await self._start_due()
            except Exception:
                logger.exception("can't tell which webhooks are due; asking again in %g s", _HELD_S)
                timeout_s = _HELD_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()

    async def _start_due(self) -> float:
        """Begin with all that is due and has room; returns the seconds until there may be more."""
        at = self._now()
        latest = at + datetime.timedelta(seconds=self._live.current.webhooks.retry_for)
        while len(self._sending) < MAX_AT_ONCE:
            at_once = Counter(delivery.receiver for delivery, _ in self._sending.values())
            busy = {receiver for receiver, number in at_once.items() if number >= MAX_PER_RECEIVER}
            # Also what has ended by the time the store answers: it was still owed when that looked.
            sending = set(self._sending)
            # More than are being sent, so that there is a new one among them if there is one at all.
            owed = await self._store.owed(at=at, latest=latest, limit=MAX_AT_ONCE, without=busy)
            waiting = [delivery for delivery in owed if delivery.id not in sending]
            if not waiting:
                break
            for delivery in waiting:
                if at_once[delivery.receiver] < MAX_PER_RECEIVER and len(self._sending) < MAX_AT_ONCE:
                    at_once[delivery.receiver] += 1
                    self._start(delivery)
        due_at = await self._store.next_delivery_due(after=at)
        return min(_LONGEST_SLEEP_S, (due_at - at).total_seconds()) if due_at else _LONGEST_SLEEP_S

    def _start(self, delivery: Delivery) -> None:
        def ended(_: asyncio.Task[None]) -> None:
            del self._sending[delivery.id]
            self._wake.set()

        task = asyncio.create_task(self._deliver(delivery))
        self._sending[delivery.id] = delivery, task
        task.add_done_callback(ended)

    async def _deliver(self, delivery: Delivery) -> None:
        """Make one attempt, and note it."""
        try:
            try:
                job = await self._store.get(delivery.job_id, delivery.owner)
            except UnknownJob:
                return  # it was deleted a moment ago, and the delivery with it
            attempt, wait_until = await self._attempt(delivery, payload(delivery, job))
            due_at = self._next(delivery, attempt, wait_until)
            await self._note(delivery, attempt, due_at)
        except Exception:
            logger.exception("a webhook could not be sent", extra=fields(webhook_id=delivery.id))
            await asyncio.sleep(_HELD_S)  # it is still due
            return
        _log(delivery, attempt, due_at)

    async def _attempt(self, delivery: Delivery, body: bytes) -> tuple[Attempt, datetime.datetime | None]:
        """Send it; also returns when the receiver wants to be asked again, if it says so."""
        at = self._now()
        signed = self._signer.headers(delivery.owner, delivery.id, int(at.timestamp()), body)
        try:
            answer = await self._transfers.post(
                delivery.url,
                body,
                {"Content-Type": "application/json", **signed},
                timeout_s=self._live.current.webhooks.timeout,
            )
        except WhisperdError as error:
            return Attempt(at=at, status=None, error=error.message), None
        failure = None if 200 <= answer.status < 300 else f"the receiver answered {answer.status}"
        return Attempt(at=at, status=answer.status, error=failure), _moment(answer.retry_after, self._now())

    def _next(
        self, delivery: Delivery, attempt: Attempt, wait_until: datetime.datetime | None
    ) -> datetime.datetime | None:
        """When the next attempt is due; None when there is to be none."""
        now = self._now()
        # While this server is down no receiver fails: time runs from the first attempt.
        # A first attempt that has yet to come was noted while the clock was wrong.
        first = min(now, delivery.attempts[0].at if delivery.attempts else attempt.at)
        last = first + datetime.timedelta(seconds=self._live.current.webhooks.retry_for)
        if attempt.status == _GONE or now >= last:
            return None
        pause = min(FIRST_PAUSE * _GROWTH ** min(len(delivery.attempts), 20), LONGEST_PAUSE) * self._jitter()
        return min(last, max(now + pause, wait_until or now))

    async def _note(self, delivery: Delivery, attempt: Attempt, due_at: datetime.datetime | None) -> None:
        """Note an attempt, as soon as that is possible: it would be made again."""
        while True:
            try:
                return await self._store.tried(delivery, attempt, due_at=due_at)
            except WhisperdError as error:
                logger.error("can't note that a webhook was sent: %s", error.message)  # noqa: TRY400
                await asyncio.sleep(_HELD_S)


def _moment(retry_after: str | None, now: datetime.datetime) -> datetime.datetime | None:
    """What a Retry-After header means: seconds, or a date; None for anything else."""
    if retry_after is None:
        return None
    try:
        if retry_after.isascii() and retry_after.isdigit():
            return now + datetime.timedelta(seconds=int(retry_after))
        date: datetime.datetime = email.utils.parsedate_to_datetime(retry_after)
        # One that names no zone is of UTC, not of where this machine is.
        return date.astimezone(datetime.UTC) if date.tzinfo else date.replace(tzinfo=datetime.UTC)
    except (ValueError, OverflowError):
        return None


def _log(delivery: Delivery, attempt: Attempt, due_at: datetime.datetime | None) -> None:
    to = shown(parse(delivery.url))
    told = fields(
        job_id=delivery.job_id,
        webhook_id=delivery.id,
        status=attempt.status,
        attempt=len(delivery.attempts) + 1,
    )
    if attempt.error is None:
        logger.info("sent a webhook to %s", to, extra=told)
    elif due_at:
        logger.info("a webhook to %s failed: %s; again at %s", to, attempt.error, due_at, extra=told)
    else:
        logger.warning("gave up a webhook to %s: %s", to, attempt.error, extra=told)
