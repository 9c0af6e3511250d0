"""Webhooks: what does not stop them, at the receivers' end and at ours."""

import asyncio
import datetime
import errno
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp.test_utils import unused_port
from conftest import changed, until
from fake_resolver import FakeResolver
from fetching import SECRET
from posting import OWNER, Post, posting
from receiving import Receiver, receiving

from whisperd.config.schema import Config
from whisperd.config.units import Duration
from whisperd.errors import Unavailable
from whisperd.jobs import webhook
from whisperd.jobs.model import Delivery
from whisperd.jobs.sqlite import open_store
from whisperd.jobs.store import Store


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def post(config: Config) -> AsyncIterator[Post]:
    async with posting(config) as post:
        yield post


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
