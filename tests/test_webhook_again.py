"""Webhooks: what is sent again, when, and until when."""

import datetime
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from conftest import until
from fetching import SECRET
from posting import OWNER, SECONDS, Post, posting
from receiving import Receiver, receiving
from standardwebhooks.webhooks import Webhook

from whisperd.config.schema import Config
from whisperd.egress import Egress, read
from whisperd.jobs.model import Delivery
from whisperd.jobs.webhook import Courier
from whisperd.media.transfer import Transfers


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
    async with posting(config) as post:
        yield post


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
