"""Lexia's gateway, jobs: every key as served, lists, filters, cancellation, owners, repeated requests."""

import asyncio
import datetime
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import changed
from fake_service import RECORDING, SPOKEN, Web, form, serving
from gateway import (
    DIARIZATION,
    JOBS,
    NOBODYS,
    THERE,
    TRANSCRIPTIONS,
    body_of,
    ended,
    look,
    named,
    running,
    submit,
)
from keychain import make_key

from whisperd.config.live import Live
from whisperd.config.units import Duration
from whisperd.errors import EngineError, MediaError
from whisperd.jobs.model import Attempt

KEYS = [
    "id", "type", "status", "created_at", "started_at", "completed_at", "progress", "result_url", "result",
    "error", "priority", "metadata", "webhook_url", "user_id", "organization_id",
]  # fmt: skip
"""In the order in which Lexia serves them."""
HOOK = "http://example.org/hook"


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


# ---- the object ----------------------------------------------------------------------------------


async def test_a_completed_job_is_as_lexia_has_it(web: Web) -> None:
    taken = await submit(web, webhook_url=HOOK, metadata='{"case": 7}', priority="low")
    job = await ended(web, taken["id"])
    assert list(job)[: len(KEYS)] == KEYS
    started, completed = job.pop("started_at"), job.pop("completed_at")
    assert taken["created_at"] <= started <= completed
    assert completed.endswith("Z")
    assert {name: job[name] for name in KEYS if name in job} == {
        "id": taken["id"],
        "type": "transcription",
        "status": "completed",
        "created_at": taken["created_at"],
        "progress": {
            "percentage": 100,
            "stage": None,
            "message": "Completed",
            "items_processed": None,
            "items_total": None,
        },
        "result_url": f"{TRANSCRIPTIONS}/{taken['id']}",
        "result": {"transcription_id": taken["id"]},
        "error": None,
        "priority": "low",
        "metadata": {"case": 7},
        "webhook_url": HOOK,
        "user_id": "anybody",
        "organization_id": None,
    }
    assert (job["attempts"], job["causes"], job["audio_url"]) == (1, [], None)


async def test_a_running_job_tells_how_far_it_has_come(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    job = await running(web, taken["id"])
    assert list(job)[: len(KEYS)] == KEYS
    assert job["status"] == "processing"
    assert job["progress"] == {
        "percentage": 95,
        "stage": "transcribing",
        "message": "Transcribing audio",
        "items_processed": 5000,
        "items_total": 5240,
    }
    assert (job["result_url"], job["result"], job["completed_at"]) == (None, None, None)


async def test_a_failed_job_says_why(web: Web) -> None:
    web.service.error = MediaError("the file is no recording")
    taken = await submit(web)
    job = await ended(web, taken["id"])
    assert (job["status"], job["result"], job["progress"]) == ("failed", None, None)
    assert job["error"] == {
        "code": "TRANSCRIPTION_ERROR",
        "message": "the file is no recording",
        "details": {"code": "invalid_audio"},
        "retryable": False,
    }
    [cause] = job["causes"]
    assert (cause["code"], cause["message"]) == ("invalid_audio", "the file is no recording")


async def test_an_attempt_that_failed_is_told_of_while_the_next_one_is_waited_for(web: Web) -> None:
    web.service.error = EngineError("the engine broke")
    taken = await submit(web)
    async for event in web.desk.events(taken["id"], "anybody"):
        if event.kind == "status" and event.job.causes:
            break
    job = await look(web, f"{JOBS}/{taken['id']}")
    assert (job["status"], job["attempts"], job["error"]) == ("queued", 1, None)
    assert [cause["code"] for cause in job["causes"]] == ["engine_error"]
    assert (await look(web, f"{TRANSCRIPTIONS}/{taken['id']}"))["status"] == "queued"


@pytest.mark.parametrize(
    ("path", "fields", "kind"),
    [
        (TRANSCRIPTIONS, {}, "transcription"),
        (TRANSCRIPTIONS, {"speaker_labels": "true"}, "transcription_with_diarization"),
        (DIARIZATION, {}, "diarization"),
    ],
)
async def test_a_job_says_what_it_is_for(web: Web, path: str, fields: dict[str, str], kind: str) -> None:
    taken = await submit(web, path, **fields)
    assert (await ended(web, taken["id"]))["type"] == kind


async def test_deliveries_are_told_with_their_attempts(web: Web) -> None:
    taken = await submit(web, webhook_url=HOOK)
    job = await ended(web, taken["id"])
    [delivery] = job["deliveries"]
    assert (delivery["event"], delivery["state"], delivery["attempts"]) == ("job.completed", "pending", [])
    shown = await look(web, f"{TRANSCRIPTIONS}/{taken['id']}")
    assert shown["webhook_status_code"] is None
    [owed] = await web.desk.deliveries(taken["id"], "anybody")
    at = datetime.datetime.now(datetime.UTC)
    store = web.desk._store
    await store.tried(owed, Attempt(at=at, status=None, error="no answer"), due_at=at)
    await store.tried(owed, Attempt(at=at, status=204), due_at=None)
    [delivery] = (await look(web, f"{JOBS}/{taken['id']}"))["deliveries"]
    assert delivery["state"] == "delivered"
    assert delivery["next_attempt_at"] is None
    tries = [(one["status_code"], one["error"]) for one in delivery["attempts"]]
    assert tries == [(None, "no answer"), (204, None)]
    assert (await look(web, f"{TRANSCRIPTIONS}/{taken['id']}"))["webhook_status_code"] == 204


async def test_a_deadline_in_seconds_counts_from_the_coming(web: Web) -> None:
    taken = await submit(web, deadline="3600")
    job = await look(web, f"{JOBS}/{taken['id']}")
    span = datetime.datetime.fromisoformat(job["deadline"]) - datetime.datetime.fromisoformat(
        job["created_at"]
    )
    assert span == datetime.timedelta(hours=1)


@pytest.mark.parametrize("written", ["2050-01-31T12:00:00Z", "2050-01-31T13:00:00+01:00", "2050-01-31T12:00"])
async def test_a_deadline_may_be_a_time(web: Web, written: str) -> None:
    taken = await submit(web, deadline=written)
    job = await look(web, f"{JOBS}/{taken['id']}")
    assert job["deadline"] == "2050-01-31T12:00:00.000000Z"


async def test_without_a_deadline_the_configured_one_holds(live: Live) -> None:
    live.current = changed(live.current, "jobs", deadline=Duration("2h"))
    async with serving(live) as web:
        job = await ended(web, (await submit(web))["id"])
    span = datetime.datetime.fromisoformat(job["deadline"]) - datetime.datetime.fromisoformat(
        job["created_at"]
    )
    assert span == datetime.timedelta(hours=2)


# ---- lists ---------------------------------------------------------------------------------------


async def test_the_list_is_bare_newest_first_and_cut_into_pages(web: Web) -> None:
    ids = [(await submit(web))["id"] for _ in range(3)][::-1]
    for job_id in ids:
        await ended(web, job_id)
    jobs = await look(web, JOBS)
    assert [job["id"] for job in jobs] == ids
    assert list(jobs[0])[: len(KEYS)] == KEYS
    assert [job["id"] for job in await look(web, JOBS, limit="1", offset="1")] == ids[1:2]
    assert await look(web, JOBS, offset="3") == []


async def test_the_list_can_be_filtered(web: Web) -> None:
    text = (await submit(web))["id"]
    await ended(web, text)
    web.service.answer = SPOKEN
    speakers = (await submit(web, DIARIZATION))["id"]
    await ended(web, speakers)
    web.service.error = MediaError("no recording")
    broken = (await submit(web))["id"]
    await ended(web, broken)

    async def ids(**query: str) -> list[str]:
        return [job["id"] for job in await look(web, JOBS, **query)]

    assert await ids(status="completed") == [speakers, text]
    assert await ids(status="failed") == [broken]
    assert await ids(status="cancelled") == []
    assert await ids(job_type="diarization") == [speakers]
    assert await ids(job_type="transcription", status="completed") == [text]


async def test_a_listed_diarization_has_its_result(web: Web) -> None:
    web.service.answer = SPOKEN
    taken = await submit(web, DIARIZATION)
    job = await ended(web, taken["id"])
    [listed] = await look(web, JOBS)
    assert listed["result"] == job["result"]
    assert {"speakers", "segments", "utterances", "stats", "rttm"} <= set(job["result"])
    assert job["result_url"] == f"{DIARIZATION}/{taken['id']}"


# ---- waiting and cancelling ----------------------------------------------------------------------


async def test_a_long_poll_answers_as_soon_as_the_job_has_ended(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    poll = asyncio.create_task(look(web, f"{JOBS}/{taken['id']}", wait="60"))
    await running(web, taken["id"])
    assert not poll.done()
    web.service.may_answer.set()
    assert (await poll)["status"] == "completed"


async def test_a_long_poll_answers_when_its_time_is_over(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    job = await look(web, f"{JOBS}/{taken['id']}", wait="0.05")
    assert job["status"] in ("queued", "processing")


@pytest.mark.parametrize("stage", ["queued", "running"])
async def test_a_job_can_be_cancelled_before_its_end_and_only_then(web: Web, stage: str) -> None:
    web.service.may_answer.clear()
    held = [(await submit(web))["id"] for _ in range(3)]  # two of them are worked on at once
    for job_id in held[:2]:
        await running(web, job_id)
    job_id = held[2] if stage == "queued" else held[0]
    path = f"{JOBS}/{job_id}"
    response = await web.client.delete(path)
    assert (response.status, await response.read()) == (204, b"")
    job = await look(web, path)
    assert (job["status"], job["error"], job["result"]) == ("cancelled", None, None)
    assert web.service.cancelled == (stage == "running")
    error = (await body_of(await web.client.delete(path), 400))["error"]
    assert error["code"] == "job_not_cancellable"


async def test_a_completed_job_cant_be_cancelled(web: Web) -> None:
    taken = await submit(web)
    await ended(web, taken["id"])
    assert (await web.client.delete(f"{JOBS}/{taken['id']}")).status == 400
    assert (await look(web, f"{JOBS}/{taken['id']}"))["status"] == "completed"


# ---- ids and owners ------------------------------------------------------------------------------


async def test_an_id_may_be_written_in_capitals_and_without_dashes(web: Web) -> None:
    taken = await submit(web)
    for written in (taken["id"].upper(), uuid.UUID(taken["id"]).hex):
        assert (await look(web, f"{JOBS}/{written}"))["id"] == taken["id"]


async def test_an_id_is_of_all_that_the_job_was_asked_for_and_of_nothing_else(web: Web) -> None:
    web.service.answer = SPOKEN
    both = (await submit(web, speaker_labels="true"))["id"]
    text = (await submit(web))["id"]
    speakers = (await submit(web, DIARIZATION))["id"]
    for job_id in (both, text, speakers):
        await ended(web, job_id)

    async def statuses(job_id: str) -> list[int]:
        paths = (JOBS, TRANSCRIPTIONS, DIARIZATION)
        return [(await web.client.get(f"{path}/{job_id}")).status for path in paths]

    assert await statuses(both) == [200, 200, 200]
    assert await statuses(text) == [200, 200, 404]
    assert await statuses(speakers) == [200, 404, 200]
    assert await statuses(NOBODYS) == [404, 404, 404]


def bearer(web: Web, owner: str, **options: Any) -> dict[str, str]:
    """The header with a new key of this owner."""
    _, text = make_key(web.live.current, owner=owner, **options)
    return {"Authorization": f"Bearer {text}"}


async def test_owners_see_their_own_and_nobody_elses(web: Web) -> None:
    ann, bob = bearer(web, "ann", organization_id="acme"), bearer(web, "bob")
    also_ann = bearer(web, "ann")
    made = {}
    for path in (TRANSCRIPTIONS, DIARIZATION):
        response = await web.client.post(path, data=form("audio"), headers=ann)
        made[path] = (await body_of(response, 202))["id"]
    ids = [*made.values()][::-1]
    listed = await body_of(await web.client.get(JOBS, headers=also_ann))
    assert [job["id"] for job in listed] == ids
    assert {(job["user_id"], job["organization_id"]) for job in listed} == {("ann", "acme")}
    assert await body_of(await web.client.get(JOBS, headers=bob)) == []
    for path, job_id in made.items():
        for place in (f"{path}/{job_id}", f"{JOBS}/{job_id}", f"{path}/{job_id}.rttm"):
            foreign = await body_of(await web.client.get(place, headers=bob), 404)
            missing = await body_of(await web.client.get(place.replace(job_id, NOBODYS), headers=bob), 404)
            assert foreign["error"]["message"].replace(job_id, NOBODYS) == missing["error"]["message"]
            assert {**foreign["error"], "message": ""} == {**missing["error"], "message": ""}
        for place in (f"{path}/{job_id}", f"{JOBS}/{job_id}"):
            assert (await web.client.delete(place, headers=bob)).status == 404
        assert (await web.client.get(f"{JOBS}/{job_id}/events", headers=bob)).status == 404
        shown = await body_of(await web.client.get(f"{path}/{job_id}?wait=30", headers=also_ann))
        assert shown["status"] == "completed"


async def test_permissions_are_kept_to(web: Web) -> None:
    speech, jobs = bearer(web, "ann", permissions=("stt",)), bearer(web, "ann", permissions=("jobs",))
    response = await web.client.post(TRANSCRIPTIONS, data=form("audio"), headers=jobs)
    assert (await body_of(response, 403))["error"]["type"] == "authorization_error"
    taken = await body_of(await web.client.post(TRANSCRIPTIONS, data=form("audio"), headers=speech), 202)
    assert (await web.client.get(f"{TRANSCRIPTIONS}/{taken['id']}", headers=speech)).status == 200
    assert (await web.client.get(f"{JOBS}/{taken['id']}", headers=speech)).status == 403
    assert (await web.client.get(f"{JOBS}/{taken['id']}", headers=jobs)).status == 200


# ---- repeated requests ---------------------------------------------------------------------------


async def repeat(web: Web, key: str, data: Any, headers: dict[str, str] | None = None) -> Any:
    return await web.client.post(
        TRANSCRIPTIONS, data=data, headers={"Idempotency-Key": key, **(headers or {})}
    )


async def test_a_repeated_request_is_the_same_job(web: Web) -> None:
    first = await body_of(await repeat(web, "k-1", form("audio", deadline="60")), 202)
    await ended(web, first["id"])
    again = await body_of(await repeat(web, "k-1", form("audio", deadline="60")), 202)
    assert (again["id"], again["created_at"]) == (first["id"], first["created_at"])
    assert again["status"] == "completed"
    assert len(await look(web, JOBS)) == 1
    assert web.service.recordings == [RECORDING]


@pytest.mark.parametrize(
    "other",
    [
        lambda: named("talk.wav", b"other bytes"),
        lambda: form("audio", priority="high"),
        lambda: form("audio", language_code="en"),
        lambda: form("audio", webhook_url=HOOK),
        lambda: {"audio_url": THERE},
    ],
    ids=["recording", "priority", "language", "webhook", "url"],
)
async def test_a_repeated_key_with_another_request_is_409(web: Web, other: Any) -> None:
    await body_of(await repeat(web, "k-1", form("audio")), 202)
    body = await body_of(await repeat(web, "k-1", other()), 409)
    assert body["error"]["code"] == "idempotency_key_reused"
    assert len(await look(web, JOBS)) == 1


async def test_each_owner_has_keys_of_their_own(web: Web) -> None:
    ann, bob = bearer(web, "ann"), bearer(web, "bob")
    one = await body_of(await repeat(web, "k-1", form("audio"), ann), 202)
    other = await body_of(await repeat(web, "k-1", form("audio", priority="low"), bob), 202)
    assert one["id"] != other["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "k\u00e9"])
async def test_a_key_that_can_be_none_is_refused(web: Web, key: str) -> None:
    body = await body_of(await repeat(web, key, form("audio")), 422)
    assert body["error"]["param"] == "Idempotency-Key"
