"""Lexia's gateway, events: what happens to a job, in order, resumable, with signs of life, and an end."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse
from fake_service import SPOKEN, Web, serving
from gateway import JOBS, NOBODYS, TRANSCRIPTIONS, body_of, ended, look, running, submit

from whisperd.config.live import Live
from whisperd.errors import MediaError
from whisperd.web import sse


@dataclass(frozen=True)
class Told:
    """One event."""

    name: str
    id: str | None
    data: Any


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


async def stream(web: Web, job_id: str, after: str | None = None) -> ClientResponse:
    headers = {"Last-Event-ID": after} if after else {}
    response = await web.client.get(f"{JOBS}/{job_id}/events", headers=headers)
    assert response.status == 200
    assert response.content_type == "text/event-stream"
    assert (response.headers["Cache-Control"], response.headers["X-Accel-Buffering"]) == ("no-cache", "no")
    return response


async def events(response: ClientResponse) -> AsyncIterator[Told]:
    """Those of a stream, as they come."""
    fields: dict[str, str] = {}
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            yield Told(fields["event"], fields.get("id"), json.loads(fields["data"]))
            fields = {}


async def whole(response: ClientResponse) -> list[Told]:
    return [event async for event in events(response) if event.name != "progress"]


async def test_all_that_happens_to_a_job_is_told_up_to_its_end(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    async with await stream(web, taken["id"]) as response:
        told = []
        async for event in events(response):
            told.append(event)
            if event.name == "progress":
                web.service.may_answer.set()
    names = [event.name for event in told]
    assert names[-1] == "end"
    assert names.count("segment") == 2
    assert names.count("end") == 1
    assert {event.data["status"] for event in told if event.name == "status"} <= {"queued", "processing"}
    first, second = (event.data for event in told if event.name == "segment")
    assert (first["text"], first["start"], first["end"]) == ("Hello world.", 4, 2496)
    assert [word["text"] for word in first["words"]] == ["Hello", "world."]
    assert (second["text"], second["speaker"]) == ("Good-bye.", None)
    moved = next(event.data for event in told if event.name == "progress")
    assert moved["job_id"] == taken["id"]
    assert moved["progress"]["items_total"] in (None, 5240)
    assert told[-1].data == {
        "job_id": taken["id"],
        "status": "completed",
        "attempts": 1,
        "result_url": f"{TRANSCRIPTIONS}/{taken['id']}",
        "error": None,
    }


async def test_who_comes_late_is_told_the_segments_and_the_end(web: Web) -> None:
    taken = await submit(web)
    await ended(web, taken["id"])
    async with await stream(web, taken["id"]) as response:
        told = await whole(response)
    assert [event.name for event in told] == ["segment", "segment", "end"]


async def test_who_comes_back_is_told_what_came_since(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    async with await stream(web, taken["id"]) as response:
        async for event in events(response):
            if event.name == "segment":
                break
    assert event.id
    web.service.may_answer.set()
    async with await stream(web, taken["id"], event.id) as response:
        told = await whole(response)
    assert [event.name for event in told] == ["segment", "end"]
    assert told[0].data["text"] == "Good-bye."


async def test_who_has_seen_the_end_is_told_not_to_come_back(web: Web) -> None:
    taken = await submit(web)
    await ended(web, taken["id"])
    async with await stream(web, taken["id"]) as response:
        last = (await whole(response))[-1]
    assert last.id
    response = await web.client.get(f"{JOBS}/{taken['id']}/events", headers={"Last-Event-ID": last.id})
    assert (response.status, await response.read()) == (204, b"")


async def test_speakers_have_their_letters_after_the_end(web: Web) -> None:
    web.service.answer = SPOKEN
    taken = await submit(web, speaker_labels="true")
    await ended(web, taken["id"])
    async with await stream(web, taken["id"]) as response:
        told = await whole(response)
    assert [event.data["speaker"] for event in told[:-1]] == ["A", "B"]
    assert told[0].data["words"][0]["speaker"] == "A"


async def test_a_failure_is_an_end_with_its_error(web: Web) -> None:
    web.service.error = MediaError("the file is no recording")
    taken = await submit(web)
    async with await stream(web, taken["id"]) as response:
        last = (await whole(response))[-1]
    assert (last.name, last.data["status"]) == ("end", "failed")
    assert last.data["error"]["message"] == "the file is no recording"


async def test_a_cancellation_is_an_end(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    await running(web, taken["id"])
    async with await stream(web, taken["id"]) as response:
        assert (await web.client.delete(f"{JOBS}/{taken['id']}")).status == 204
        last = (await whole(response))[-1]
    assert (last.name, last.data["status"]) == ("end", "cancelled")


async def test_silence_is_broken_by_signs_of_life(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.01)
    web.service.may_answer.clear()
    taken = await submit(web)
    await running(web, taken["id"])
    async with await stream(web, taken["id"]) as response:
        comments = 0
        async for line in response.content:
            comments += line.startswith(b":")
            if comments == 3:
                web.service.may_answer.set()
        assert comments >= 3


async def test_a_reader_who_leaves_does_not_end_the_job(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    response = await stream(web, taken["id"])
    await anext(events(response))
    response.close()
    await running(web, taken["id"])
    web.service.may_answer.set()
    assert (await ended(web, taken["id"]))["status"] == "completed"
    assert web.service.cancelled == 0


async def test_many_may_listen_to_one_job(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    responses = [await stream(web, taken["id"]) for _ in range(5)]
    listening = [asyncio.create_task(whole(response)) for response in responses]
    await running(web, taken["id"])
    web.service.may_answer.set()
    told = await asyncio.gather(*listening)
    assert [[event.data for event in each if event.name == "segment"] for each in told] == [
        [event.data for event in told[0] if event.name == "segment"]
    ] * 5


async def test_asking_for_the_head_alone_does_not_wait(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    response = await web.client.head(f"{JOBS}/{taken['id']}/events")
    assert (response.status, response.content_type) == (200, "text/event-stream")


async def test_of_no_job_there_are_no_events(web: Web) -> None:
    response = await web.client.get(f"{JOBS}/{NOBODYS}/events")
    assert (await body_of(response, 404))["error"]["code"] == "job_not_found"
    assert await look(web, JOBS) == []
