"""A full queue is told before the recording is read, to every dialect that is not held, in its own words."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import FormData
from conftest import changed, until
from fake_service import RECORDING, Web, serving
from test_web_uploads import CLOSED, MULTIPART, OPENED, connection, outcomes, part

from whisperd.config.live import Live
from whisperd.errors import QueueFull, RateLimited
from whisperd.transcript.model import Request

CLIENTS = Path(__file__).parent / "clients"
OPENAI: Final = "/v1/audio/transcriptions"
TOLD: Final = 20 * 2**20
"""Bytes that a request says it has."""
MODEL: Final = part("form-data; name=model", b"whisper-1")


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        web.service.full = QueueFull("64 requests are waiting already; the limit is 64", retry_after_s=7)
        yield web


def only(live: Live, *dialects: str) -> Live:
    live.current = changed(live.current, "api", dialects=dialects)
    return live


def recording_in(field: str) -> bytes:
    return part(f'form-data; name="{field}"; filename="talk.wav"', RECORDING).removesuffix(b"\r\n")


class Answer:
    """What came before the body had."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode().splitlines()
        self.status = int(first.split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines if line)
        self.body: Any = json.loads(body) if body else None


async def answer(web: Web, path: str, sent: bytes = b"", *lines: str) -> Answer:
    """What the server says to a form that goes on after `sent` for long; nothing is left of it."""
    async with connection(web) as (reader, writer):
        head = (f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {MULTIPART}", *lines)
        writer.write("\r\n".join([*head, f"Content-Length: {TOLD}", "", ""]).encode() + sent)
        sending = asyncio.create_task(_send(writer, b"x" * 100 if sent else b""))
        told = await reader.readuntil(b"\r\n\r\n")
        sending.cancel()
        length = int(told.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        found = Answer(told, await reader.readexactly(length))
    await until(lambda: web.spooled() == [])
    assert web.service.requests == []
    return found


async def _send(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while True:
        writer.write(piece)
        await asyncio.sleep(0.01)


# ---- when it is known ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1/audio/translations",
        "/v1/audio/diarization",
        "/v1/transcriptions/sync",
        "/v1/diarization/sync",
        "/diarize",
    ],
)
async def test_where_one_dialect_is_spoken_the_head_is_enough(live: Live, path: str) -> None:
    async with serving(only(live, "openai", "lexia")) as web:
        web.service.full = QueueFull("full", retry_after_s=7)
        refused = await answer(web, path, b"", "Expect: 100-continue")
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "7"
    assert refused.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("path", "sent", "body"),
    [
        (OPENAI, MODEL + recording_in("file"), {"error": {"code": "queue_full"}}),
        ("/transcribe", recording_in("file"), {"detail": "64 requests are waiting already; the limit is 64"}),
        ("/transcribe", recording_in("audio"), {"error": "64 requests are waiting already; the limit is 64"}),
        (
            "/transcribe?language=en",
            recording_in("audio"),
            {"detail": "64 requests are waiting already; the limit is 64"},
        ),
        ("/diarize", recording_in("audio"), {"detail": "64 requests are waiting already; the limit is 64"}),
    ],
)
async def test_where_several_are_spoken_the_recordings_name_is_enough(
    web: Web, path: str, sent: bytes, body: dict[str, Any]
) -> None:
    refused = await answer(web, path, sent)
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "7"
    assert refused.headers["Connection"] == "close"
    if "code" in str(body):
        refused.body = {"error": {"code": refused.body["error"]["code"]}}
    assert refused.body == body


async def test_a_client_with_too_many_requests_is_told_so(web: Web) -> None:
    web.service.full = RateLimited("5 of your requests are not answered yet", retry_after_s=3)
    refused = await answer(web, OPENAI, MODEL + recording_in("file"))
    assert (refused.status, refused.headers["Retry-After"]) == (429, "3")


async def test_a_recording_elsewhere_is_not_fetched(web: Web) -> None:
    web.fetcher.may_come.clear()
    web.fetcher.files["http://x/talk.wav"] = RECORDING
    response = await web.client.post("/transcribe/url", json={"url": "http://x/talk.wav"})
    assert (response.status, response.headers["Retry-After"]) == (503, "7")


async def test_what_is_asked_for_decides_as_far_as_it_is_known(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []
    monkeypatch.setattr(web.service, "check_room", asked.append)
    form = FormData({"model": "base", "diarize": "true"})
    form.add_field("file", RECORDING, filename="talk.wav")
    assert (await web.client.post(OPENAI, data=form)).status == 200
    before, _ = asked
    assert (before.model, before.speakers, before.client) == ("base", True, "127.0.0.1")


async def test_a_form_that_begins_with_its_recording_may_ask_for_anything(web: Web) -> None:
    """For another model, for instance, which has room; or it is one of those that are held."""
    form = FormData()
    form.add_field("file", RECORDING, filename="talk.wav")
    form.add_field("batch", "false")
    response = await web.client.post(OPENAI, data=form)
    assert response.status == 200
    assert web.service.asked.patient


async def test_what_is_wrong_with_the_fields_is_told_by_whoever_sees_all_of_them(web: Web) -> None:
    form = FormData({"temperature": "hot"})
    form.add_field("file", RECORDING, filename="talk.wav")
    response = await web.client.post(OPENAI, data=form)
    assert response.status == 400
    assert "temperature" in await response.text()


# ---- who is held ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"batch": "false", "model": "whisper-1"},
        {"batch": "true", "language": "en"},
    ],
)
@pytest.mark.parametrize("name", ["files", "files[]"])
async def test_reflectors_clients_are_held(web: Web, name: str, fields: dict[str, str]) -> None:
    form = FormData(fields)
    form.add_field(name, RECORDING, filename="talk.wav")
    response = await web.client.post(OPENAI, data=form)
    assert response.status == 200
    assert web.service.asked.patient


async def test_recordings_of_reflector_by_url_are_held(web: Web) -> None:
    web.fetcher.files["http://x/talk.wav"] = RECORDING
    body = {"audio_file_url": "http://x/talk.wav"}
    assert (await web.client.post("/v1/audio/transcriptions-from-url", json=body)).status == 200
    query = {"audio_file_url": "http://x/talk.wav", "timestamp": "0"}
    assert (await web.client.post("/diarize", params=query)).status == 200


async def test_jobs_are_taken(web: Web) -> None:
    form = FormData()
    form.add_field("audio", RECORDING, filename="talk.wav")
    assert (await web.client.post("/v1/transcriptions", data=form)).status == 202


async def test_each_recording_of_a_batch_has_its_own_answer(web: Web) -> None:
    form = FormData()
    form.add_field("files", RECORDING, filename="talk.wav")
    response = await web.client.post("/transcribe/batch", data=form)
    assert response.status == 200
    [result] = (await response.json())["results"]
    assert "waiting already" in result["error"]


# ---- the connection ------------------------------------------------------------------------------


async def test_a_body_that_has_come_leaves_the_connection_as_it_was(web: Web) -> None:
    body = MODEL + OPENED + RECORDING + CLOSED
    for _ in range(2):
        response = await web.client.post(OPENAI, data=body, headers={"Content-Type": MULTIPART})
        assert response.status == 503
        assert "Connection" not in response.headers


@pytest.mark.parametrize("header", ["Via: 1.1 Caddy", "X-Forwarded-For: 10.0.0.9", "Forwarded: for=10.0.0.9"])
async def test_a_proxy_is_answered_when_all_has_come_and_nothing_of_it_is_kept(web: Web, header: str) -> None:
    """Caddy breaks off what its client still sends as soon as it has an answer, which is lost with that."""
    body = MODEL + OPENED + bytes(2**20) + CLOSED
    async with connection(web) as (reader, writer):
        head = (f"POST {OPENAI} HTTP/1.1", "Host: x", header, f"Content-Type: {MULTIPART}")
        writer.write("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body[:-1])
        await writer.drain()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        assert web.spooled() == []
        writer.write(body[-1:])
        told = await reader.readuntil(b"\r\n\r\n")
    assert b" 503 " in told
    assert b"Connection: close" not in told


async def test_a_proxy_whose_client_waits_to_be_asked_is_answered_at_once(live: Live) -> None:
    async with serving(only(live, "openai")) as web:
        web.service.full = QueueFull("full", retry_after_s=7)
        lines = ("Expect: 100-continue", "X-Forwarded-For: 10.0.0.9")
        assert (await answer(web, "/v1/audio/translations", b"", *lines)).status == 503


async def test_a_client_that_leaves_while_it_is_refused_is_told_of_in_the_journal(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with connection(web) as (_, writer):
        head = (f"POST {OPENAI} HTTP/1.1", "Host: x", "Via: 1.1 x", f"Content-Type: {MULTIPART}")
        body = MODEL + OPENED + bytes(2**20)
        writer.write("\r\n".join([*head, f"Content-Length: {TOLD}", "", ""]).encode() + body)
        await writer.drain()
    await until(lambda: outcomes(caplog) == ["cancelled"])


@pytest.mark.parametrize(
    "client", ["requests", "urllib3", "http.client", "httpx", "openai", "aiohttp", "curl"]
)
async def test_a_client_that_sends_on_reads_the_answer(web: Web, tmp_path: Path, client: str) -> None:
    recording = tmp_path / "talk.wav"
    recording.write_bytes(bytes(TOLD))
    command = (sys.executable, CLIENTS / "uploads.py", client, web.url.rstrip("/"), recording)
    ran = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    told, errors = await ran.communicate()
    assert told.split() == [b"503", b"7"], errors.decode()
