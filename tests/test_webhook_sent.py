"""Webhooks: what is sent, and to which addresses."""

import datetime
from collections.abc import AsyncIterator

import pytest
from posting import OWNER, Post, posting
from receiving import Receiver, receiving
from standardwebhooks.webhooks import Webhook

from whisperd.config.schema import Config
from whisperd.errors import ParameterError
from whisperd.jobs.model import JobError
from whisperd.jobs.webhook import check_webhook_url

FAILURE = JobError(
    code="invalid_audio",
    message="no recording",
    retryable=False,
    at=datetime.datetime(2026, 1, 2, 3, 4, 5, 678, datetime.UTC),
)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def post(config: Config) -> AsyncIterator[Post]:
    async with posting(config) as post:
        yield post


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
