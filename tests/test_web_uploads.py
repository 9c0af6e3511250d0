"""Uploads: what is no form, no recording, too much or too slow; and that nothing stays on the disk."""

import asyncio
import contextlib
import io
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import FormData
from conftest import changed, until
from fake_service import RECORDING, Web, form, serving

from whisperd.config.live import Live
from whisperd.config.units import Duration, Size
from whisperd.web.fields import MAX_FIELD_BYTES
from whisperd.web.parts import MAX_FRAMING_BYTES, MAX_PARTS
from whisperd.web.uploads import MAX_OTHER_BYTES

PATH = "/v1/audio/transcriptions"
MULTIPART = "multipart/form-data; boundary=b"
OPENED = b'--b\r\nContent-Disposition: form-data; name="file"; filename="talk.wav"\r\n\r\n'
CLOSED = b"\r\n--b--\r\n"


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


async def refusal(web: Web, data: Any, content_type: str | None = None) -> tuple[int, str, str, str | None]:
    """Status, code, message and field; the server must be as clean as before."""
    headers = {"Content-Type": content_type} if content_type else {}
    response = await web.client.post(PATH, data=data, headers=headers)
    error = (await response.json())["error"]
    assert web.spooled() == []
    assert web.service.requests == []
    return response.status, error["code"], error["message"], error["param"]


def part(disposition: str, value: bytes = b"x", more: str = "") -> bytes:
    return f"--b\r\nContent-Disposition: {disposition}\r\n{more}\r\n".encode() + value + b"\r\n"


# ---- no form, no recording -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "audio/wav", "multipart/mixed"]
)
async def test_a_body_that_is_no_form_is_told_what_to_send(web: Web, content_type: str) -> None:
    status, code, message, param = await refusal(web, b'{"file": "talk.wav"}', content_type)
    assert (status, code, param) == (400, "missing_file", "file")
    assert content_type in message
    assert "multipart/form-data" in message


async def test_no_body_at_all_is_told_what_to_send(web: Web) -> None:
    status, code, _, param = await refusal(web, None)
    assert (status, code, param) == (400, "missing_file", "file")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", OPENED + RECORDING + CLOSED),
        ("multipart/form-data; boundary=" + "b" * 71, OPENED + RECORDING + CLOSED),
        ("multipart/form-data; boundary=other", OPENED + RECORDING + CLOSED),
        (MULTIPART, b""),
        (MULTIPART, b"no form\r\n"),
        (MULTIPART, b"no form" * 100_000),
        (MULTIPART, b"no form" * (MAX_FRAMING_BYTES // 7 + 1)),
        (MULTIPART, OPENED + RECORDING + CLOSED + b"more" * MAX_FRAMING_BYTES),
        (MULTIPART, OPENED),
        (MULTIPART, OPENED + RECORDING),
        (MULTIPART, OPENED + RECORDING + b"\r\n--b"),
        (MULTIPART, OPENED + RECORDING + b"\r\n--b\r\n"),
        (MULTIPART, b"--b\r\n\r\nno headers" + CLOSED),
        (MULTIPART, b"--b\r\nno colon\r\n\r\nx" + CLOSED),
        (MULTIPART, b"--b\r\n" + b"X-Header: x\r\n" * 1000 + b"\r\nx" + CLOSED),
        (MULTIPART, b"--b\r\nX-Header: " + b"x" * 100_000 + b"\r\n\r\nx" + CLOSED),
        (MULTIPART, part("form-data; filename=talk.wav") + CLOSED),
        (MULTIPART, part("form-data; name=f", b"", "Content-Type: multipart/mixed; boundary=c\r\n") + CLOSED),
    ],
)
async def test_a_malformed_form_is_the_callers_mistake(web: Web, content_type: str, body: bytes) -> None:
    status, code, message, _ = await refusal(web, io.BytesIO(body), content_type)
    assert (status, code) == (400, "invalid_request")
    assert "malformed" in message


@pytest.mark.parametrize("before", [b"", b"\r\n", b"This is a form.\r\n"])
@pytest.mark.parametrize("after", [b"", b"\r\n", b"That was a form.\r\n"])
async def test_what_stands_around_a_form_is_no_part_of_it(web: Web, before: bytes, after: bytes) -> None:
    body = before + OPENED + RECORDING + CLOSED + after
    response = await web.client.post(PATH, data=body, headers={"Content-Type": MULTIPART})
    assert response.status == 200


async def test_a_form_without_a_recording_is_told_the_field(web: Web) -> None:
    data = FormData({"model": "whisper-1"})
    data._is_multipart = True
    status, code, message, param = await refusal(web, data)
    assert (status, code, param) == (400, "missing_file", "file")
    assert "`file`" in message


async def test_a_recording_that_is_sent_as_text_is_told_how_to_send_it(web: Web) -> None:
    data = FormData({"file": "talk.wav"})
    data._is_multipart = True
    _, code, message, _ = await refusal(web, data)
    assert code == "missing_file"
    assert "as text" in message


@pytest.mark.parametrize("name", ["audio", "file[]", "gruß"])
async def test_a_recording_in_the_wrong_field_is_told_both_names(web: Web, name: str) -> None:
    body = part(f'form-data; name="{name}"; filename="talk.wav"', RECORDING) + CLOSED
    _, code, message, param = await refusal(web, body, MULTIPART)
    assert (code, param) == ("missing_file", "file")
    assert f"`{name}`" in message
    assert "`file`" in message


async def test_a_field_whose_name_is_no_text_can_be_told_of(web: Web) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="\xff"; filename="x"\r\n\r\nx' + CLOSED
    assert (await refusal(web, body, MULTIPART))[1] == "missing_file"


async def test_a_field_whose_name_is_no_text_has_no_effect(web: Web) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n' + OPENED + RECORDING + CLOSED
    response = await web.client.post(PATH, data=body, headers={"Content-Type": MULTIPART})
    assert response.status == 200
    assert "has no effect" in (await response.json())["warnings"][0]["message"]


async def test_two_recordings_are_one_too_many(web: Web) -> None:
    body = OPENED + RECORDING + b"\r\n" + OPENED + RECORDING + CLOSED
    status, code, message, param = await refusal(web, body, MULTIPART)
    assert (status, code, param) == (400, "invalid_request", "file")
    assert "more than one" in message


async def test_an_empty_recording_is_refused(web: Web) -> None:
    status, code, _, param = await refusal(web, OPENED + CLOSED, MULTIPART)
    assert (status, code, param) == (400, "empty_file", "file")


async def test_an_encoded_part_is_refused_and_not_misread(web: Web) -> None:
    more = "Content-Transfer-Encoding: base64\r\n"
    body = part('form-data; name="file"; filename="talk.wav"', b"UklGRg==", more) + CLOSED
    status, _, message, _ = await refusal(web, body, MULTIPART)
    assert status == 400
    assert "base64" in message


async def test_a_field_that_is_no_utf8_is_refused(web: Web) -> None:
    body = part("form-data; name=prompt", b"\xff\xfe") + OPENED + RECORDING + CLOSED
    status, _, message, param = await refusal(web, body, MULTIPART)
    assert (status, param) == (400, "prompt")
    assert "UTF-8" in message


# ---- too much ------------------------------------------------------------------------------------


async def test_a_length_over_the_limit_is_refused_before_the_body_is_sent(web: Web) -> None:
    length = web.live.current.limits.upload + MAX_OTHER_BYTES + 1
    async with connection(web) as (reader, writer):
        writer.write(head(f"Content-Length: {length}"))
        status = await reader.readline()
    assert b" 413 " in status
    assert web.spooled() == []


async def test_a_recording_that_grows_over_the_limit_is_refused_while_it_comes(web: Web) -> None:
    web.live.current = changed(web.live.current, "limits", upload=Size("1MiB"))

    async def endless() -> AsyncIterator[bytes]:
        yield OPENED
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                yield b"x" * 2**17

    status, code, message, param = await refusal(web, endless(), MULTIPART)
    assert (status, code, param) == (413, "file_too_large", "file")
    assert "1MiB" in message


async def test_a_recording_of_just_the_limit_is_taken(web: Web) -> None:
    web.live.current = changed(web.live.current, "limits", upload=Size("3MiB"))
    recording = bytes(range(256)) * (3 * 2**12)
    body = io.BytesIO(OPENED + recording + CLOSED)
    response = await web.client.post(PATH, data=body, headers={"Content-Type": MULTIPART})
    assert response.status == 200
    assert web.service.recordings == [recording]


async def test_a_huge_field_is_refused(web: Web) -> None:
    status, code, message, param = await refusal(web, form(prompt="x" * (MAX_FIELD_BYTES + 1)))
    assert (status, code, param) == (413, "file_too_large", "prompt")
    assert "64 KiB" in message


async def test_fields_that_nobody_reads_are_limited_too(web: Web) -> None:
    body = io.BytesIO(part("form-data; name=colour", b"x" * (MAX_OTHER_BYTES + 1)) + CLOSED)
    status, code, message, param = await refusal(web, body, MULTIPART)
    assert (status, code, param) == (413, "file_too_large", "colour")
    assert "fields" in message


async def test_too_many_fields_are_refused(web: Web) -> None:
    status, code, message, _ = await refusal(web, form(**{f"field{n}": "x" for n in range(MAX_PARTS)}))
    assert (status, code) == (400, "invalid_request")
    assert str(MAX_PARTS) in message


async def test_a_form_of_as_many_fields_as_allowed_is_taken(web: Web) -> None:
    data = form(**{f"field{n}": "x" for n in range(MAX_PARTS - 1)})
    response = await web.client.post(PATH, data=data)
    assert response.status == 200


# ---- too slow, or gone ---------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def connection(web: Web) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(web.client.host, web.client.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def head(length: str) -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\n{length}\r\n\r\n".encode()


@pytest.mark.parametrize("sent", [b"", b"--b\r\n", OPENED, OPENED + RECORDING])
async def test_an_upload_that_stops_coming_is_given_up(web: Web, sent: bytes) -> None:
    web.live.current = changed(web.live.current, "limits", upload_idle=Duration("50ms"))
    async with connection(web) as (reader, writer):
        writer.write(head("Content-Length: 100000") + sent)
        status = await reader.readline()
    assert b" 408 " in status
    await until(lambda: web.spooled() == [])


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_caller_who_leaves_during_the_upload_leaves_nothing(
    web: Web, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.INFO)
    async with connection(web) as (_, writer):
        writer.write(head("Content-Length: 100000") + OPENED + RECORDING)
        await until(lambda: web.spooled() != [])
        if how == "abort":
            writer.transport.abort()
    await until(lambda: web.spooled() == [])
    await until(lambda: outcomes(caplog) == ["cancelled"])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_caller_who_leaves_during_the_work_frees_the_engine(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    web.service.may_answer.clear()
    body = OPENED + RECORDING + CLOSED
    async with connection(web) as (_, writer):
        writer.write(head(f"Content-Length: {len(body)}") + body)
        await until(lambda: web.service.requests != [])
        assert web.spooled() != []
    await until(lambda: web.spooled() == [])
    await until(lambda: outcomes(caplog) == ["cancelled"])


async def test_the_spool_is_empty_after_an_answer(web: Web) -> None:
    response = await web.client.post(PATH, data=form())
    assert response.status == 200
    assert web.spooled() == []
    assert not web.service.asked.audio.exists()


async def test_an_upload_that_trickles_is_given_up(web: Web) -> None:
    """Something comes all the time, but so little that it would take days."""
    web.live.current = changed(web.live.current, "limits", upload_idle=Duration("500ms"))
    async with connection(web) as (reader, writer):
        writer.write(head("Content-Length: 100000") + OPENED)

        async def trickle() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        status = await reader.readline()
        trickling.cancel()
        body = await reader.read(2000)
    assert b" 408 " in status
    assert b"less than 1KiB came in a second" in body
    await until(lambda: web.spooled() == [])


async def test_a_rate_that_is_low_but_allowed_is_no_reason(web: Web) -> None:
    web.live.current = changed(
        web.live.current, "limits", upload_idle=Duration("400ms"), upload_rate=Size("5B")
    )

    async def pieces() -> AsyncIterator[bytes]:
        yield OPENED
        for _ in range(20):
            yield b"slowly"
            await asyncio.sleep(0.04)
        yield CLOSED

    response = await web.client.post(PATH, data=pieces(), headers={"Content-Type": MULTIPART})
    assert response.status == 200


# ---- the disk's reserve --------------------------------------------------------------------------


async def test_an_upload_that_would_leave_the_disk_too_little_is_refused(web: Web) -> None:
    web.live.current = changed(web.live.current, "limits", disk_reserve=Size("1000TiB"))
    status, code, message, _ = await refusal(web, form())
    assert (status, code) == (503, "unavailable")
    assert "no room" in message


async def test_an_upload_of_no_declared_size_stops_at_the_reserve(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([2**40, 2**20])

    def statvfs(_: object) -> os.statvfs_result:
        return os.statvfs_result((1, 1, 0, 0, next(free, 2**20), 0, 0, 0, 0, 0, 0)[:10])

    monkeypatch.setattr("whisperd.media.disk.os.statvfs", statvfs)

    async def pieces() -> AsyncIterator[bytes]:
        yield OPENED + bytes(2**22) + CLOSED

    status, _, message, _ = await refusal(web, pieces(), MULTIPART)
    assert (status, "no room" in message) == (503, True)


# ---- before the body -----------------------------------------------------------------------------


async def first_line(web: Web, path: str, *lines: str) -> bytes:
    """What comes to a client that waits before it sends its body."""
    async with connection(web) as (reader, writer):
        request = (f"POST {path} HTTP/1.1", "Host: x", "Expect: 100-continue", *lines)
        writer.write(("\r\n".join(request) + "\r\n\r\n").encode())
        return await reader.readline()


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((f"Content-Type: {MULTIPART}", "Content-Length: 1000"), b" 100 "),
        ((f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked"), b" 100 "),
        ((f"Content-Type: {MULTIPART}", f"Content-Length: {2**40}"), b" 413 "),
        (("Content-Type: application/json", "Content-Length: 1000"), b" 400 "),
    ],
)
async def test_a_body_that_would_be_refused_is_not_asked_for(
    web: Web, lines: tuple[str, ...], status: bytes
) -> None:
    assert status in await first_line(web, PATH, *lines)


async def test_json_that_is_too_large_is_not_asked_for(web: Web) -> None:
    json = "Content-Type: application/json"
    assert b" 100 " in await first_line(web, "/transcribe/url", json, "Content-Length: 100")
    assert b" 413 " in await first_line(web, "/transcribe/url", json, "Content-Length: 100000000")


async def test_what_the_disk_has_no_room_for_is_not_asked_for(web: Web) -> None:
    web.live.current = changed(web.live.current, "limits", disk_reserve=Size("1000TiB"))
    lines = (f"Content-Type: {MULTIPART}", "Content-Length: 1000")
    assert b" 503 " in await first_line(web, PATH, *lines)


async def test_bytes_may_come_one_by_one(web: Web) -> None:
    body = part("form-data; name=response_format", b"text") + OPENED + RECORDING + CLOSED

    async def slowly() -> AsyncIterator[bytes]:
        for number in range(len(body)):
            yield body[number : number + 1]
            await asyncio.sleep(0)

    response = await web.client.post(PATH, data=slowly(), headers={"Content-Type": MULTIPART})
    assert response.content_type == "text/plain"
    assert web.service.recordings == [RECORDING]


@pytest.mark.parametrize("cut", [1, 3, len(OPENED), len(OPENED) + 1, len(OPENED) + 2, len(OPENED) + 40])
async def test_a_form_may_come_in_two_pieces_of_any_size(web: Web, cut: int) -> None:
    body = OPENED + RECORDING * 50_000 + CLOSED
    async with connection(web) as (reader, writer):
        writer.write(head(f"Content-Length: {len(body)}") + body[:cut])
        await writer.drain()
        await asyncio.sleep(0.02)  # apart on the wire; nothing is waited for
        writer.write(body[cut:])
        status = await reader.readline()
    assert b" 200 " in status
    assert web.service.recordings == [RECORDING * 50_000]


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.journal_fields["outcome"]
        for record in caplog.records
        if hasattr(record, "journal_fields") and "outcome" in record.journal_fields
    ]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_json_that_is_not_encoded_as_it_says_is_the_callers_mistake(
    web: Web, caplog: pytest.LogCaptureFixture, encoding: str
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    async with connection(web) as (reader, writer):
        lines = [f"{name}: {value}" for name, value in headers.items()]
        request = ["POST /transcribe/url HTTP/1.1", "Host: x", "Content-Length: 9", *lines, "", '{"a": 1}\n']
        writer.write("\r\n".join(request).encode())
        assert b" 400 " in await reader.readline()
    assert "Traceback" not in caplog.text
