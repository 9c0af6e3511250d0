"""Webhooks: what is sent, when again, and what does not stop them."""

import asyncio
import contextlib
import datetime
import errno
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from aiohttp.test_utils import unused_port
from conftest import changed, until
from fake_resolver import FakeResolver
from fetching import SECRET, fetch_from_here
from receiving import Receiver, receiving
from standardwebhooks.webhooks import Webhook

from whisperd.config.live import Live
from whisperd.config.schema import Config
from whisperd.config.units import Duration
from whisperd.egress import Egress, read
from whisperd.errors import ParameterError, Unavailable
from whisperd.jobs import webhook
from whisperd.jobs.model import Attempt, Delivery, Job, JobError, JobType, Source, Work
from whisperd.jobs.sqlite import open_store
from whisperd.jobs.store import Store
from whisperd.jobs.webhook import Courier, check_webhook_url
from whisperd.media.transfer import Transfers
from whisperd.transcript.model import Transcript

OWNER = "ada"
SECONDS = datetime.timedelta(seconds=1)


class Clock:
    """The time of day, until a test turns it on."""

    def __init__(self) -> None:
        self.later = 0 * SECONDS

    def __call__(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + self.later


class Post:
    """A store with webhooks that are owed, and couriers for them."""

    def __init__(self, config: Config, store: Store) -> None:
        self.live = Live(config)
        self.store = store
        self.clock = Clock()
        self.jitter = 1.0
        self.jobs = 0
        self.courier: Courier

    @contextlib.asynccontextmanager
    async def tended(self, resolver: FakeResolver | None = None) -> AsyncIterator[Courier]:
        """A courier at work."""
        out = Egress(read(self.live.current.fetch))
        transfers = Transfers(self.live, out, lambda: resolver) if resolver else Transfers(self.live, out)
        self.courier = Courier(self.live, self.store, transfers, now=self.clock, jitter=lambda: self.jitter)
        async with self.courier.tended():
            yield self.courier

    async def owe(
        self, url: str, *, kind: JobType = "transcription", error: JobError | None = None, owner: str = OWNER
    ) -> str:
        """End a job whose webhook goes to the URL; returns the job's id."""
        self.jobs += 1
        job = await self.store.add(
            Job(
                id=f"00000000-0000-4000-8000-{self.jobs:012}",
                type=kind,
                status="queued",
                owner=owner,
                source=Source(digest="0" * 64),
                work=Work(),
                webhook_url=url,
                created_at=self.clock(),
            )
        )
        assert await self.store.claim(at=self.clock())
        if error:
            assert await self.store.fail(job.id, 1, error)
        else:
            assert await self.store.complete(job.id, 1, Transcript(duration=1.0), at=self.clock())
        return job.id

    async def delivery(self, job_id: str) -> Delivery:
        [delivery] = await self.store.deliveries(job_id)
        return delivery

    async def attempts(self, job_id: str, count: int) -> Sequence[Attempt]:
        """The attempts, once there are so many."""
        async with asyncio.timeout(20):
            while len(attempts := (await self.delivery(job_id)).attempts) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(attempts) == count
        return attempts

    async def to_the_next(self, job_id: str) -> datetime.timedelta:
        """Turn the clock to the next attempt; returns how long after the last one that is."""
        delivery = await self.delivery(job_id)
        self.clock.later += max(0 * SECONDS, delivery.due_at - self.clock())
        self.courier.poke()
        return delivery.due_at - delivery.attempts[-1].at


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock is set to a zone that is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def post(config: Config) -> AsyncIterator[Post]:
    store = await open_store(config.paths.state / "jobs")
    yield Post(fetch_from_here(config), store)
    await store.close()


FAILURE = JobError(
    code="invalid_audio",
    message="no recording",
    retryable=False,
    at=datetime.datetime(2026, 1, 2, 3, 4, 5, 678, datetime.UTC),
)

# ---- what is sent --------------------------------------------------------------------------------


async def test_what_is_owed_is_sent_and_noted(post: Post, receiver: Receiver) -> None:
    job_id = await post.owe(f"{receiver.url}?token=a%2Fb")
    async with post.tended():
        [attempt] = await post.attempts(job_id, 1)
    delivery = await post.delivery(job_id)
    assert (delivery.state, attempt.status, attempt.error) == ("delivered", 200, None)
    [received] = receiver.received
    assert received.path == "/hook?token=a%2Fb"
    assert received.headers["Content-Type"] == "application/json"
    job = await post.store.get(job_id, OWNER)
    assert job.completed_at
    completed_at = job.completed_at.isoformat().replace("+00:00", "Z")
    assert received.json == {
        "event": "job.completed",
        "timestamp": completed_at,
        "job_id": job_id,
        "transcription_id": job_id,
        "job_type": "transcription",
        "status": "completed",
        "completed_at": completed_at,
        "result_url": f"/v1/transcriptions/{job_id}",
    }


async def test_a_failure_comes_with_its_cause(post: Post, receiver: Receiver) -> None:
    job_id = await post.owe(receiver.url, kind="diarization", error=FAILURE)
    async with post.tended():
        await post.attempts(job_id, 1)
    assert receiver.received[0].json == {
        "event": "job.failed",
        "timestamp": "2026-01-02T03:04:05.000678Z",
        "job_id": job_id,
        "diarization_id": job_id,
        "job_type": "diarization",
        "status": "failed",
        "completed_at": "2026-01-02T03:04:05.000678Z",
        "result_url": None,
        "error": {
            "code": "DIARIZATION_ERROR",
            "message": "no recording",
            "details": {"code": "invalid_audio"},
            "retryable": False,
        },
    }


async def test_it_is_signed_with_its_owners_secret(post: Post, receiver: Receiver) -> None:
    job_id = await post.owe(receiver.url, owner="bob")
    async with post.tended() as courier:
        await post.attempts(job_id, 1)
        secret = courier.secret_of("bob")
    [received] = receiver.received
    Webhook(secret).verify(received.body, dict(received.headers))
    assert received.headers["webhook-id"] == (await post.delivery(job_id)).id


async def test_what_is_owed_later_is_sent_when_the_courier_is_told(post: Post, receiver: Receiver) -> None:
    async with post.tended() as courier:
        job_id = await post.owe(receiver.url)
        courier.poke()
        await post.attempts(job_id, 1)


async def test_a_delivered_webhook_is_not_sent_again(post: Post, receiver: Receiver) -> None:
    first = await post.owe(receiver.url)
    async with post.tended() as courier:
        await post.attempts(first, 1)
        second = await post.owe(receiver.url)
        courier.poke()
        await post.attempts(second, 1)
    assert len(receiver.received) == 2


# ---- again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 308, 400, 404, 429, 500, 503])
async def test_an_answer_without_success_is_a_failed_attempt(
    post: Post, receiver: Receiver, status: int
) -> None:
    receiver.statuses = [status]
    receiver.headers = {"Location": "/elsewhere"}
    job_id = await post.owe(receiver.url)
    async with post.tended():
        [attempt] = await post.attempts(job_id, 1)
    assert attempt.status == status
    assert str(status) in (attempt.error or "")
    assert (await post.delivery(job_id)).state == "pending"
    assert [received.path for received in receiver.received] == ["/hook"]


async def test_it_is_sent_again_with_the_same_id_and_body_and_a_fresh_signature(
    post: Post, receiver: Receiver
) -> None:
    receiver.statuses = [500, 200]
    job_id = await post.owe(receiver.url)
    async with post.tended() as courier:
        await post.attempts(job_id, 1)
        await post.to_the_next(job_id)
        await post.attempts(job_id, 2)
        secret = courier.secret_of(OWNER)
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"]) + 5
    Webhook(secret).verify(second.body, dict(second.headers))
    assert (await post.delivery(job_id)).state == "delivered"


async def test_it_is_sent_again_soon_after_a_wrong_clock_was_set_right(
    post: Post, receiver: Receiver
) -> None:
    receiver.statuses = [500, 500, 200]
    post.clock.later = datetime.timedelta(days=3650)
    job_id = await post.owe(receiver.url)
    async with post.tended() as courier:
        await post.attempts(job_id, 1)
        post.clock.later = 0 * SECONDS
        courier.poke()
        await post.attempts(job_id, 2)
        assert (await post.delivery(job_id)).due_at < post.clock() + datetime.timedelta(days=1)
        await post.to_the_next(job_id)
        await post.attempts(job_id, 3)
    assert (await post.delivery(job_id)).state == "delivered"


async def test_one_that_arrives_while_the_store_is_asked_is_not_sent_again(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.may_answer.clear()
    first = await post.owe(receiver.url)
    async with post.tended() as courier:
        await until(lambda: receiver.hanging == 1)
        real = post.store.owed

        async def stale(**wanted: Any) -> Sequence[Delivery]:
            monkeypatch.setattr(post.store, "owed", real)
            found = await real(**wanted)
            receiver.may_answer.set()
            await post.attempts(first, 1)
            await until(lambda: not courier._sending)
            return found

        monkeypatch.setattr(post.store, "owed", stale)
        courier.poke()
        await post.attempts(first, 1)
        second = await post.owe(receiver.url)
        courier.poke()
        await post.attempts(second, 1)
    assert len(receiver.received) == 2


async def test_nothing_is_sent_before_its_time(post: Post, receiver: Receiver) -> None:
    receiver.statuses = [500, 200]
    waiting = await post.owe(receiver.url)
    async with post.tended() as courier:
        await post.attempts(waiting, 1)
        other = await post.owe(receiver.url)
        courier.poke()
        await post.attempts(other, 1)
    assert len((await post.delivery(waiting)).attempts) == 1


async def test_pauses_grow_until_it_is_given_up_after_the_configured_time(
    post: Post, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [500]
    job_id = await post.owe(f"{receiver.url}?secret={SECRET}")
    caplog.set_level(logging.DEBUG)
    pauses = []
    async with post.tended():
        await post.attempts(job_id, 1)
        while (await post.delivery(job_id)).state == "pending":
            pauses.append(await post.to_the_next(job_id))
            await post.attempts(job_id, len(pauses) + 1)
    delivery = await post.delivery(job_id)
    assert delivery.state == "given_up"
    rounded = [round(pause.total_seconds()) for pause in pauses]
    assert rounded[:8] == [5, 15, 45, 135, 405, 1215, 3645, 10800]
    assert set(rounded[8:-1]) == {10800}
    lasted = delivery.attempts[-1].at - delivery.attempts[0].at
    assert datetime.timedelta(hours=24) <= lasted < datetime.timedelta(hours=24, seconds=60)
    assert f"gave up a webhook to {receiver.url}" in caplog.text
    assert SECRET not in caplog.text


async def test_pauses_are_not_the_same_for_all(post: Post, receiver: Receiver) -> None:
    receiver.statuses = [500]
    post.jitter = 0.8
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
        assert round((await post.to_the_next(job_id)).total_seconds()) == 4
    transfers = Transfers(post.live, Egress(read(post.live.current.fetch)))
    assert len({Courier(post.live, post.store, transfers)._jitter() for _ in range(9)}) > 1


async def test_a_receiver_that_is_gone_is_not_asked_again(post: Post, receiver: Receiver) -> None:
    receiver.statuses = [410]
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
    assert (await post.delivery(job_id)).state == "given_up"


@pytest.mark.parametrize("as_a_date", [True, False])
async def test_a_receiver_may_say_when_to_ask_again(post: Post, receiver: Receiver, as_a_date: bool) -> None:
    receiver.statuses = [503]
    date = (post.clock() + 1000 * SECONDS).strftime("%a, %d %b %Y %H:%M:%S GMT")
    receiver.headers = {"Retry-After": date if as_a_date else "1000"}
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
        assert 990 < (await post.to_the_next(job_id)).total_seconds() < 1030


@pytest.mark.usefixtures("elsewhere")
async def test_a_date_without_a_zone_is_of_utc(post: Post, receiver: Receiver) -> None:
    receiver.statuses = [503]
    date = (post.clock() + 1000 * SECONDS).strftime("%a, %d %b %Y %H:%M:%S -0000")
    receiver.headers = {"Retry-After": date}
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
        assert 990 < (await post.to_the_next(job_id)).total_seconds() < 1030


@pytest.mark.parametrize("said", ["1", "-5", "soon", "²", "Wed, 21 Oct 2015 07:28:00 GMT", "1e3", ""])
async def test_but_not_sooner_than_its_turn(post: Post, receiver: Receiver, said: str) -> None:
    receiver.statuses = [503]
    receiver.headers = {"Retry-After": said}
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
        assert round((await post.to_the_next(job_id)).total_seconds()) == 5


@pytest.mark.parametrize("said", ["9" * 9, "9" * 40, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_and_not_later_than_it_would_be_given_up(post: Post, receiver: Receiver, said: str) -> None:
    receiver.statuses = [503]
    receiver.headers = {"Retry-After": said}
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
        assert (await post.to_the_next(job_id)).total_seconds() <= 24 * 3600


# ---- what does not stop it -----------------------------------------------------------------------


async def test_a_receiver_that_hangs_is_given_up_after_the_configured_time(
    post: Post, receiver: Receiver
) -> None:
    post.live.current = changed(post.live.current, "webhooks", timeout=Duration("100ms"))
    receiver.may_answer.clear()
    job_id = await post.owe(receiver.url)
    async with post.tended():
        [attempt] = await post.attempts(job_id, 1)
    assert attempt.status is None
    assert "no answer within 0.1 s" in (attempt.error or "")


async def test_a_receiver_that_hangs_holds_up_none_of_the_others(post: Post, receiver: Receiver) -> None:
    async with receiving() as slow:
        slow.may_answer.clear()
        for _ in range(webhook.MAX_AT_ONCE + 5):
            await post.owe(slow.url.replace("127.0.0.1", "slow"))
        job_id = await post.owe(receiver.url)
        async with post.tended(FakeResolver(slow=[["127.0.0.1"]])):
            await post.attempts(job_id, 1)
            await until(lambda: slow.hanging == webhook.MAX_PER_RECEIVER)
            assert len(slow.received) == webhook.MAX_PER_RECEIVER
            slow.may_answer.set()
            await until(lambda: len(slow.received) == webhook.MAX_AT_ONCE + 5)


async def test_no_more_than_so_many_are_sent_at_once(post: Post, receiver: Receiver) -> None:
    receiver.may_answer.clear()
    hosts = {f"host{number}": [["127.0.0.1"]] for number in range(webhook.MAX_AT_ONCE + 5)}
    for host in hosts:
        await post.owe(receiver.at(host))
    async with post.tended(FakeResolver(**hosts)):
        await until(lambda: receiver.hanging == webhook.MAX_AT_ONCE)
        assert len(receiver.received) == webhook.MAX_AT_ONCE
        receiver.may_answer.set()
        await until(lambda: len(receiver.received) == len(hosts))


async def test_an_answer_that_never_ends_is_an_answer(post: Post, receiver: Receiver) -> None:
    receiver.statuses = [-1]
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
    assert (await post.delivery(job_id)).state == "delivered"


async def test_a_receiver_that_is_down_is_a_failed_attempt(post: Post) -> None:
    job_id = await post.owe(f"http://127.0.0.1:{unused_port()}/hook?secret={SECRET}")
    async with post.tended():
        [attempt] = await post.attempts(job_id, 1)
    assert attempt.status is None
    assert "Connection refused" in (attempt.error or "")
    assert SECRET not in (attempt.error or "")


async def test_private_receivers_are_not_connected_to_unless_they_are_allowed(
    config: Config, post: Post, receiver: Receiver
) -> None:
    allowed, post.live.current = post.live.current, config
    by_name, by_number = await post.owe(receiver.at("inside")), await post.owe(receiver.url)
    async with post.tended(FakeResolver(inside=[["127.0.0.1"]])):
        for job_id in (by_name, by_number):
            [attempt] = await post.attempts(job_id, 1)
            assert attempt.status is None
            assert "fetch.allow" in (attempt.error or "")
        assert receiver.received == []
        post.live.current = allowed
        for job_id in (by_name, by_number):
            await post.to_the_next(job_id)
            await post.attempts(job_id, 2)
    assert len(receiver.received) == 2


async def test_a_job_that_was_deleted_owes_nothing_more(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [500, 200]
    job_id = await post.owe(receiver.url)
    async with post.tended() as courier:
        await post.attempts(job_id, 1)
        found, asked = [await post.delivery(job_id)], asyncio.Event()
        real = post.store.owed

        async def as_it_was(**_: Any) -> Sequence[Delivery]:
            monkeypatch.setattr(post.store, "owed", real)
            asked.set()
            return found

        await post.store.delete(job_id, OWNER)
        monkeypatch.setattr(post.store, "owed", as_it_was)
        courier.poke()
        await asked.wait()
        other = await post.owe(receiver.url)
        courier.poke()
        await post.attempts(other, 1)
    assert len(receiver.received) == 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# ---- ends and failures of our own ----------------------------------------------------------------


async def test_what_is_owed_outlives_the_process(config: Config, post: Post, receiver: Receiver) -> None:
    receiver.statuses = [500, 200]
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
    await post.store.close()
    post.store = await open_store(config.paths.state / "jobs")
    async with post.tended():
        await post.to_the_next(job_id)
        await post.attempts(job_id, 2)
    assert (await post.delivery(job_id)).state == "delivered"
    await post.store.close()
    post.store = await open_store(config.paths.state / "jobs")


async def test_what_was_sent_and_not_noted_is_sent_again_under_the_same_id(
    post: Post, receiver: Receiver
) -> None:
    receiver.may_answer.clear()
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await until(lambda: receiver.hanging == 1)
    receiver.may_answer.set()
    async with post.tended():
        await post.attempts(job_id, 1)
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_time_in_which_nothing_could_be_sent_does_not_count(post: Post, receiver: Receiver) -> None:
    receiver.statuses = [500, 200]
    job_id = await post.owe(receiver.url)
    post.clock.later += datetime.timedelta(days=3)
    async with post.tended():
        await post.attempts(job_id, 1)
        await post.to_the_next(job_id)
        await post.attempts(job_id, 2)
    assert (await post.delivery(job_id)).state == "delivered"


async def test_what_cannot_be_noted_is_noted_later_and_not_sent_twice(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhook, "_HELD_S", 0.01)
    real, full = post.store.tried, iter([Unavailable("no room"), Unavailable("no room")])

    async def tried(*noted: Any, **due: Any) -> None:
        if error := next(full, None):
            raise error
        await real(*noted, **due)

    monkeypatch.setattr(post.store, "tried", tried)
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
    assert len(receiver.received) == 1
    assert "can't note that a webhook was sent: no room" in caplog.text


async def test_a_failure_of_the_store_does_not_end_it(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhook, "_HELD_S", 0.01)
    for name in ("owed", "get"):
        _fail_once(monkeypatch, post.store, name)
    job_id = await post.owe(receiver.url)
    async with post.tended():
        await post.attempts(job_id, 1)
    assert "can't tell which webhooks are due" in caplog.text
    assert "a webhook could not be sent" in caplog.text


def _fail_once(monkeypatch: pytest.MonkeyPatch, store: Store, name: str) -> None:
    real = getattr(store, name)

    async def fail(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(store, name, real)
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(store, name, fail)


# ---- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "https://example.org/hook?a=b%2Fc",
        "http://[2001:db8::1]:8080/",
        "http://10.0.0.1/x",
    ],
)
def test_urls_of_http_are_taken(url: str) -> None:
    check_webhook_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "/hook",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "http://example.org:99999/",
        "http://user@example.org/",
        "http://user:password@example.org/",
        "http://:password@example.org/",
        "http://example.org/" + "x" * 2048,
    ],
)
def test_others_are_refused(url: str) -> None:
    with pytest.raises(ParameterError, match="webhook_url") as raised:
        check_webhook_url(url)
    assert raised.value.param == "webhook_url"
    assert "password@" not in raised.value.message
