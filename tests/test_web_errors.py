"""What goes wrong, in each dialect's words; and what is written about it, and what is not."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.web import Request, StreamResponse
from fake_service import TRANSCRIPT, Web, form, serving

from whisperd import errors
from whisperd.config.live import Live
from whisperd.errors import RequestError, WhisperdError
from whisperd.journal import LineFormatter
from whisperd.web.dialects import diarization
from whisperd.web.keys import EXCHANGE

OPENAI = "/v1/audio/transcriptions"
DIARIZATION = "/v1/audio/diarization"
WERIFY = "/transcribe"

CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, WhisperdError)
    and kind not in (errors.ConfigError, errors.StartError, errors.ModelFilesError)
]


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


TYPES = {429: "requests"}
"""Of OpenAI's errors, where it is neither that of the other refusals nor that of failures."""


async def failing(web: Web, path: str, error: Exception) -> tuple[ClientResponse, Any]:
    web.service.error = error
    response = await web.client.post(path, data=form())
    return response, await response.json()


# ---- every error, in every dialect ---------------------------------------------------------------


def made(kind: type[WhisperdError]) -> WhisperdError:
    return kind("a hint", param="diarize") if issubclass(kind, RequestError) else kind("a hint")


@pytest.mark.parametrize("path", [OPENAI, DIARIZATION])
@pytest.mark.parametrize("kind", CLASSES)
async def test_openai_has_four_keys_for_every_error(web: Web, path: str, kind: type[WhisperdError]) -> None:
    response, body = await failing(web, path, made(kind))
    assert response.status == kind.status
    assert body == {
        "error": {
            "message": "a hint",
            "type": TYPES.get(kind.status, "invalid_request_error" if kind.status < 500 else "server_error"),
            "param": "diarize" if issubclass(kind, RequestError) else None,
            "code": kind.code,
        }
    }


@pytest.mark.parametrize("kind", CLASSES)
async def test_werify_has_a_detail_for_every_error(web: Web, kind: type[WhisperdError]) -> None:
    response, body = await failing(web, WERIFY, made(kind))
    if issubclass(kind, errors.ParameterError | errors.MissingFile):
        assert response.status == 422
        [wrong] = body["detail"]
        assert wrong["msg"] == "a hint"
        assert len(wrong["loc"]) == 2
    elif kind in (errors.UrlRefused, errors.UrlNotFound, errors.FetchFailed):
        assert (response.status, body) == (400, {"detail": "a hint"})
    else:
        assert (response.status, body) == (kind.status, {"detail": "a hint"})


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind.status == 503])
async def test_what_may_succeed_later_says_when(web: Web, kind: type[WhisperdError]) -> None:
    response, _ = await failing(web, OPENAI, made(kind))
    assert int(response.headers["Retry-After"]) >= 1


async def test_what_can_never_succeed_invites_nobody_to_try_again(web: Web) -> None:
    response, _ = await failing(web, OPENAI, errors.MediaError("no recording"))
    assert "Retry-After" not in response.headers


def test_every_code_is_told_apart() -> None:
    assert len({kind.code for kind in CLASSES}) == len(CLASSES)


# ---- wrong paths and methods ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/", "/v1/x"])
async def test_an_unknown_path_below_v1_is_told_as_openai_does(web: Web, path: str) -> None:
    response = await web.client.get(path)
    error = (await response.json())["error"]
    assert response.status == 404
    assert error["code"] == "not_found"
    assert path in error["message"]


@pytest.mark.parametrize("path", ["/transcribe/x", "/health/x", "/docs/x", "/docs/..%2f..%2fetc", "/%FF"])
async def test_an_unknown_path_elsewhere_has_a_detail(web: Web, path: str) -> None:
    response = await web.client.get(path)
    assert response.status == 404
    assert set(await response.json()) == {"detail"}


@pytest.mark.parametrize(("path", "key"), [(OPENAI, "error"), (DIARIZATION, "error"), (WERIFY, "detail")])
async def test_a_wrong_method_is_told_which_one_is_right(web: Web, path: str, key: str) -> None:
    response = await web.client.get(path)
    assert response.status == 405
    assert response.headers["Allow"] == "POST"
    assert "POST" in json.dumps((await response.json())[key])
    response = await web.client.post("/health")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert "detail" in await response.json()


# ---- what nobody foresaw -------------------------------------------------------------------------


@pytest.mark.parametrize("path", [OPENAI, WERIFY])
async def test_what_nobody_foresaw_is_for_the_journal_alone(
    web: Web, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    response, body = await failing(web, path, ZeroDivisionError("/var/lib/secret"))
    assert response.status == 500
    assert "secret" not in json.dumps(body)
    assert "Traceback" not in json.dumps(body)
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert journal_fields(record)["request_id"] == response.headers["X-Request-Id"]


async def test_an_answer_that_breaks_off_is_not_followed_by_another(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def half(request: Request) -> StreamResponse:
        response = StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise errors.WorkerDied("died")

    monkeypatch.setattr("whisperd.web.app.ENDPOINTS", [replace(diarization.ENDPOINT, handler=half)])
    async with serving(live) as web:
        reader, writer = await asyncio.open_connection(web.client.host, web.client.port)
        writer.write(b"POST /v1/audio/diarization HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n")
        async with asyncio.timeout(20):
            sent = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert sent.count(b"HTTP/1.1") == 1
    assert sent.endswith(b"half\r\n"), "it broke off, and says so by not ending"
    assert b"X-Request-Id" in sent
    assert (account(caplog)["outcome"], account(caplog)["error_code"]) == ("failed", "worker_died")


async def test_what_is_told_within_a_stream_is_accounted_for_once(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def stream(request: Request) -> StreamResponse:
        response = StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        request[EXCHANGE].failure = errors.WorkerDied("died")
        await response.write(b", and why there is no more")
        return response

    monkeypatch.setattr("whisperd.web.app.ENDPOINTS", [replace(diarization.ENDPOINT, handler=stream)])
    async with serving(live) as web:
        response = await web.client.post("/v1/audio/diarization", data=form())
        assert (response.status, await response.text()) == (200, "half, and why there is no more")
        assert web.spooled() == []
    assert (account(caplog)["outcome"], account(caplog)["error_code"]) == ("failed", "worker_died")


# ---- one line for each request -------------------------------------------------------------------


def journal_fields(record: logging.LogRecord) -> dict[str, Any]:
    return dict(getattr(record, "journal_fields", {}))


def account(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The fields of the one line that was written about a request."""
    [found] = [journal_fields(record) for record in caplog.records if "outcome" in journal_fields(record)]
    return found


async def test_a_callers_request_id_is_kept(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    response = await web.client.post(OPENAI, data=form(), headers={"X-Request-Id": "call-7:a.b_c"})
    assert response.headers["X-Request-Id"] == "call-7:a.b_c"
    assert account(caplog)["request_id"] == "call-7:a.b_c"


@pytest.mark.parametrize("sent", ["", "two words", "x" * 101, "a;b", "é"])
async def test_an_odd_request_id_is_replaced(web: Web, sent: str) -> None:
    response = await web.client.get("/health", headers={"X-Request-Id": sent})
    made = response.headers["X-Request-Id"]
    assert made != sent
    assert len(made) == 16
    assert (await web.client.get("/health")).headers["X-Request-Id"] != made


async def test_a_good_request_is_one_line_with_all_that_counts(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await web.client.post(OPENAI, data=form())
    found = account(caplog)
    assert found["outcome"] == "ok"
    assert found["status"] == 200
    assert found["dialect"] == "openai"
    assert found["client"] == "127.0.0.1"
    assert found["audio_s"] == TRANSCRIPT.duration
    assert found["wall_s"] >= 0
    assert found["speed"] > 0
    assert (found["model"], found["device"]) == ("tiny.en", "cpu")
    assert "error_code" not in found


@pytest.mark.parametrize(
    ("error", "outcome"), [(errors.TooLong("too long"), "refused"), (errors.WorkerDied("died"), "failed")]
)
async def test_a_bad_request_says_whose_fault_it_was(
    web: Web, caplog: pytest.LogCaptureFixture, error: WhisperdError, outcome: str
) -> None:
    caplog.set_level(logging.INFO)
    await failing(web, WERIFY, error)
    found = account(caplog)
    assert (found["outcome"], found["error_code"]) == (outcome, error.code)
    assert found["dialect"] == "werify"


async def test_those_who_look_often_fill_no_journal(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for path in ("/health", "/health/live", "/metrics", "/nothing"):
        await web.client.get(path)
    assert caplog.records == []


@pytest.mark.parametrize("fails", [False, True])
async def test_no_line_holds_the_text_the_query_or_a_new_line(
    web: Web, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    caplog.set_level(logging.DEBUG, logger="whisperd")
    if fails:
        web.service.error = ZeroDivisionError("a bug")
    await web.client.post(OPENAI, data=form(prompt="secretprompt"))
    await web.client.post(f"{WERIFY}?language=en&token=secretquery", data=form())
    await web.client.post(f"{WERIFY}?language=secretquery", data=form())
    await web.client.get("/v1/%0Aforged?token=secretquery")
    formatter = LineFormatter(prefixed=False)
    mine = [record for record in caplog.records if record.name.startswith("whisperd")]
    assert len(mine) >= 4
    lines = [formatter.format(record) for record in mine]
    for word in ("secretprompt", "secretquery", "Hello", "world"):
        assert not [line for line in lines if word in line]
    if not fails:
        assert not [line for line in lines if "\n" in line]


async def test_what_is_no_http_is_refused_and_not_repeated_in_the_journal(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reader, writer = await asyncio.open_connection(web.client.host, web.client.port)
    writer.write(b"GET /transcribe?token=secretquery HTTP/9.9.9\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    [record] = caplog.records
    assert LineFormatter(prefixed=False).format(record) == "refused what is no HTTP, from 127.0.0.1"
    assert record.levelno == logging.INFO


async def test_an_error_that_repeats_bytes_that_are_no_text_can_be_sent() -> None:
    assert RequestError("not in \udc80ase64").message == "not in ?ase64"
