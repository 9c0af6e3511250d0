"""The gate in front of the real application: what callers with keys, and without, are told."""

import asyncio
import contextlib
import datetime
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web as aiohttp_web
from conftest import changed, until
from fake_service import Web, form, serving
from keychain import make_key, revoke_key
from yarl import URL

from whisperd.__main__ import main
from whisperd.access.ring import Ring
from whisperd.config.live import Live
from whisperd.errors import RateLimited
from whisperd.journal import LineFormatter
from whisperd.web.app import served
from whisperd.web.endpoint import Endpoint

OPENAI = "/v1/audio/transcriptions"
UNKNOWN = "lx_" + "x" * 43


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def key(web: Web, **options: Any) -> dict[str, str]:
    """The headers of a caller with a new key."""
    return bearer(make_key(web.live.current, **options)[1])


async def rows(web: Web, columns: str, expected: int) -> list[tuple[Any, ...]]:
    """The rows of usage, once there are as many."""
    with contextlib.closing(Ring.open(web.live.current.paths.state)) as ring:
        found: list[tuple[Any, ...]] = []

        def there() -> bool:
            found[:] = ring._connection.execute(f"SELECT {columns} FROM usage ORDER BY at").fetchall()
            return len(found) >= expected

        await until(there)
        return found


# ---- without keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "Bearer sk-none", "sk-none", "Basic eDp5", "Bearer " + UNKNOWN])
async def test_the_lan_may_send_anything_for_a_key(web: Web, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    response = await web.client.post(OPENAI, data=form(), headers=headers)
    assert response.status == 200
    assert not [name for name in response.headers if name.startswith("X-RateLimit")]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "8.8.8.8"},
        {"X-Forwarded-For": "8.8.8.8, 192.168.1.2"},
        {"X-Forwarded-For": "192.168.1.2, 8.8.8.8:4711"},
        {"X-Forwarded-For": ""},
        {"X-Real-IP": "2001:db8::1"},
        {"Forwarded": 'for="[2001:db8::1]:4711";proto=https'},
        {"Forwarded": "for=192.168.1.2, for=unknown"},
    ],
)
async def test_a_proxy_does_not_open_the_gate_for_the_internet(web: Web, headers: dict[str, str]) -> None:
    response = await web.client.post(OPENAI, data=form(), headers=headers)
    assert response.status == 403
    error = (await response.json())["error"]
    assert error["code"] == "authorization_error"
    assert "whisperd keys create" in error["message"]
    assert web.service.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.168.1.2"},
        {"X-Forwarded-For": "192.168.1.2:4711, 10.0.0.1"},
        {"X-Real-IP": "::1"},
        {"Forwarded": 'for="[fd00::1]:4711";by=10.0.0.1, for=10.1.1.1'},
        {"Forwarded": "proto=https"},
    ],
)
async def test_a_proxy_serves_the_lan(web: Web, headers: dict[str, str]) -> None:
    response = await web.client.post(OPENAI, data=form(), headers=headers)
    assert response.status == 200


async def test_a_unix_socket_is_this_machine(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    runner = aiohttp_web.AppRunner(web.client.app)
    await runner.setup()
    try:
        await aiohttp_web.UnixSite(runner, path).start()
        connector = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://localhost/v1/models") as response,
        ):
            assert response.status == 200
    finally:
        await runner.cleanup()


# ---- with keys -----------------------------------------------------------------------------------


async def test_requests_are_shared_out_by_key_and_where_there_is_none_by_address(web: Web) -> None:
    assert (await web.client.post(OPENAI, data=form())).status == 200
    key, text = make_key(web.live.current)
    assert (await web.client.post(OPENAI, data=form(), headers=bearer(text))).status == 200
    assert [request.client for request in web.service.requests] == ["127.0.0.1", key.id]


async def test_a_key_counts_from_the_moment_it_is_made_until_it_is_revoked(web: Web) -> None:
    assert (await web.client.get("/v1/models")).status == 200
    made, text = make_key(web.live.current)
    assert (await web.client.get("/v1/models")).status == 401
    for header in (f"Bearer {text}", f"bearer {text}", text):
        assert (await web.client.get("/v1/models", headers={"Authorization": header})).status == 200
    revoke_key(web.live.current, made)
    assert (await web.client.get("/v1/models", headers=bearer(text))).status == 401


async def test_every_wrong_key_gets_one_answer(web: Web) -> None:
    revoked, revoked_text = make_key(web.live.current)
    revoke_key(web.live.current, revoked)
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    _, expired = make_key(web.live.current, expires_at=long_ago)
    answers = set()
    for text in (revoked_text, expired, UNKNOWN, "lx_short", "sk-none"):
        response = await web.client.post(OPENAI, data=form(), headers=bearer(text))
        headers = {
            name: response.headers[name] for name in response.headers if name not in ("Date", "X-Request-ID")
        }
        answers.add((response.status, await response.text(), json.dumps(headers, sort_keys=True)))
    assert len(answers) == 1, answers
    [(status, body, headers_json)] = answers
    assert status == 401
    assert json.loads(body)["error"] | {"type": ""} == {
        "message": "Invalid or expired API key",
        "type": "",
        "param": None,
        "code": "invalid_api_key",
    }
    assert json.loads(headers_json)["WWW-Authenticate"] == "Bearer"
    assert web.service.requests == []


@pytest.mark.parametrize(
    ("header", "code", "message"),
    [
        (None, "authentication_error", "Missing Authorization header"),
        ("Basic eDp5", "authentication_error", "Invalid Authorization header format"),
        (UNKNOWN, "invalid_api_key", "Invalid or expired API key"),
    ],
)
async def test_lexias_clients_read_its_own_words(
    web: Web, header: str | None, code: str, message: str
) -> None:
    make_key(web.live.current)
    response = await web.client.get("/v1/jobs", headers={"Authorization": header} if header else {})
    assert response.status == 401
    assert await response.json() == {
        "error": {"message": message, "type": "invalid_api_key", "param": None, "code": code}
    }


async def test_owners_do_not_see_each_others_jobs(web: Web) -> None:
    ann, ben = key(web, owner="ann"), key(web, owner="ben")
    response = await web.client.post("/v1/transcriptions", data=form("audio"), headers=ann)
    assert response.status == 202
    job_id = (await response.json())["id"]
    assert (await web.client.get(f"/v1/jobs/{job_id}", headers=ann)).status == 200
    assert (await web.client.get(f"/v1/jobs/{job_id}", headers=key(web, owner="ann"))).status == 200
    for method, path in (
        ("GET", "jobs"),
        ("DELETE", "jobs"),
        ("GET", "transcriptions"),
        ("DELETE", "transcriptions"),
    ):
        assert (await web.client.request(method, f"/v1/{path}/{job_id}", headers=ben)).status == 404
    assert await (await web.client.get("/v1/jobs", headers=ben)).json() == []


@pytest.mark.parametrize(
    ("path", "where"),
    [
        (OPENAI, "error"),
        ("/transcribe?include_segments=1", "detail"),
        ("/diarize", "detail"),
        ("/translate", "detail"),
    ],
)
async def test_a_refusal_is_told_in_the_dialect_of_the_path(web: Web, path: str, where: str) -> None:
    make_key(web.live.current)
    response = await web.client.post(path, data=form())
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "Missing Authorization header" in json.dumps((await response.json())[where])


async def test_unknown_paths_and_what_is_open_need_no_key(web: Web) -> None:
    make_key(web.live.current)
    for path in (
        "/health",
        "/health/live",
        "/health/ready",
        "/healthz",
        "/metrics",
        "/docs",
        "/openapi.json",
    ):
        assert (await web.client.get(path, headers=bearer("sk-none"))).status == 200, path
    assert (await web.client.get("/nowhere")).status == 404
    assert (await web.client.get(OPENAI)).status == 405


async def test_the_flask_transcribers_health_says_whether_a_key_is_needed(web: Web) -> None:
    assert (await (await web.client.get("/healthz")).json())["requires_auth"] is False
    make_key(web.live.current)
    assert (await (await web.client.get("/healthz")).json())["requires_auth"] is True


async def test_doubled_slashes_lead_through_the_same_gate(web: Web) -> None:
    headers = key(web)
    assert (await web.client.post("/v1//audio//transcriptions", data=form())).status == 401
    assert (await web.client.post("/v1//audio//transcriptions", data=form(), headers=headers)).status == 200


async def test_no_endpoint_is_forgotten() -> None:
    """What is open to everybody is listed here, so that nothing becomes so by mistake."""
    dialects = ("openai", "reflector", "werify", "flask", "lexia")
    opened = {
        f"{endpoint.method} {endpoint.path}" for endpoint in served(dialects) if endpoint.permission is None
    }
    assert opened == {
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
        "GET /healthz",
        "GET /metrics",
        "GET /openapi.json",
        "GET /docs",
    }


async def test_the_description_says_where_a_key_may_be_sent(web: Web) -> None:
    document = await (await web.client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"][OPENAI]["post"]["security"] == [{}, {"key": []}]
    assert "security" not in document["paths"]["/health"]["get"]


def closed(path: str) -> list[Endpoint]:
    return [one for one in served(("openai", "reflector", "werify", "flask", "lexia")) if one.path == path]


@pytest.mark.parametrize(
    ("method", "path", "granted", "refused"),
    [
        ("GET", "/v1/models", "llm", None),
        ("POST", OPENAI, "stt", "jobs"),
        ("POST", "/diarize", "stt", "llm"),
        ("POST", "/whisper/unload", "admin", "stt"),
        ("POST", "/diarization/unload", "admin", "llm"),
        ("GET", "/gpu/status", "jobs", None),
        ("GET", "/v1/jobs", "jobs", "stt"),
        ("POST", "/v1/transcriptions", "stt", "jobs"),
        ("POST", "/v1/diarization", "stt", "jobs"),
        ("POST", "/v1/chat/completions", "llm", "stt"),
    ],
)
async def test_a_key_opens_what_its_permissions_say(
    web: Web, method: str, path: str, granted: str, refused: str | None
) -> None:
    response = await web.client.request(method, path, headers=key(web, permissions=(granted,)))
    assert response.status not in (401, 403)
    response = await web.client.request(method, path, headers=key(web, permissions=("*",)))
    assert response.status not in (401, 403)
    if refused:
        response = await web.client.request(method, path, headers=key(web, permissions=(refused,)))
        assert response.status == 403
        [endpoint] = closed(path)
        assert repr(endpoint.permission) in await response.text()


async def test_a_static_key_is_not_for_administration(live: Live, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("reflector\n", encoding="utf-8")
    live.current = changed(live.current, "access", static_key_file=tmp_path / "key")
    async with serving(live) as web:
        assert (await web.client.get("/v1/models")).status == 401
        assert (await web.client.post("/transcribe", data=form(), headers=bearer("reflector"))).status == 200
        assert (await web.client.post("/whisper/unload", headers=bearer("reflector"))).status == 403


async def test_a_link_is_for_every_key_of_its_owner(web: Web) -> None:
    first, second, other = key(web), key(web), key(web, owner="bob")
    response = await web.client.post("/transcribe", data=form("audio"), headers=first)
    link = URL((await response.json())["downloads"]["text"]).path
    assert (await web.client.get(link, headers=second)).status == 200
    assert (await web.client.get(link, headers=other)).status == 404
    assert (await web.client.get(link)).status == 401


# ---- before the body -----------------------------------------------------------------------------


async def heads(web: Web, *lines: str) -> str:
    """Send a request without its body, and read what comes until it is the client's turn again."""
    port = web.client.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = (f"POST {OPENAI} HTTP/1.1", "Host: x", *lines, "Content-Length: 100000000")
    writer.write(("\r\n".join(request) + "\r\n\r\n").encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.decode().partition("\r\n")[0]


async def test_a_body_is_asked_for_only_when_it_is_welcome(web: Web) -> None:
    expect = ("Expect: 100-continue", "Content-Type: multipart/form-data; boundary=b")
    assert await heads(web, *expect) == "HTTP/1.1 100 Continue"
    made = key(web)
    assert await heads(web, *expect) == "HTTP/1.1 401 Unauthorized"
    assert await heads(web, f"Authorization: {made['Authorization']}", *expect) == "HTTP/1.1 100 Continue"


async def test_an_upload_without_a_key_is_refused_before_it_is_sent(web: Web) -> None:
    make_key(web.live.current)
    status = await heads(web, "Content-Type: multipart/form-data; boundary=b")
    assert status == "HTTP/1.1 401 Unauthorized"


async def test_the_command_line_is_told_what_it_lacks(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, text = make_key(web.live.current)
    recording = tmp_path / "talk.wav"
    recording.write_bytes(bytes(10_000_000))
    words = ["transcribe", "--server", web.url.rstrip("/"), str(recording)]
    assert await asyncio.to_thread(main, words) == 1
    assert "Missing Authorization header; the key is taken from WHISPERD_KEY" in capsys.readouterr().err
    monkeypatch.setenv("WHISPERD_KEY", text)
    assert await asyncio.to_thread(main, words) == 0


async def test_another_expectation_can_not_be_met(web: Web) -> None:
    assert " 4" in await heads(web, "Expect: tea", "Content-Type: multipart/form-data; boundary=b")


# ---- limits --------------------------------------------------------------------------------------


async def test_every_post_with_a_key_tells_what_is_left(web: Web) -> None:
    headers = key(web, rate_limit=5)
    web.live.current = changed(web.live.current, "access", burst=1)
    response = await web.client.post(OPENAI, data=form(), headers=headers)
    now = datetime.datetime.now(datetime.UTC).timestamp()
    assert response.headers["X-RateLimit-Limit"] == "5"
    assert response.headers["X-RateLimit-Remaining"] == "5"
    assert now < int(response.headers["X-RateLimit-Reset"]) <= now + 61
    response = await web.client.post(OPENAI, data=form(stream="true"), headers=headers)
    assert response.headers["X-RateLimit-Remaining"] == "4"
    response = await web.client.post(OPENAI, headers=headers)
    assert (response.status, response.headers["X-RateLimit-Remaining"]) == (400, "3")
    response = await web.client.get("/v1/models", headers=headers)
    assert not [name for name in response.headers if name.startswith("X-RateLimit")]


async def test_one_request_too_many_is_refused_until_later(web: Web) -> None:
    headers, other = key(web, rate_limit=1), key(web, rate_limit=1)
    web.live.current = changed(web.live.current, "access", burst=1)
    statuses = [(await web.client.post(OPENAI, data=form(), headers=headers)).status for _ in range(3)]
    assert statuses == [200, 200, RateLimited.status]
    response = await web.client.post(OPENAI, data=form(), headers=headers)
    assert (await response.json())["error"]["message"] == "Rate limit exceeded. Please retry later."
    assert 55 <= int(response.headers["Retry-After"]) <= 60
    assert response.headers["X-RateLimit-Remaining"] == "0"
    assert len(web.service.requests) == 2
    assert (await web.client.get("/v1/models", headers=headers)).status == 200
    assert (await web.client.post(OPENAI, data=form(), headers=other)).status == 200


async def test_what_a_key_may_not_do_does_not_count(web: Web) -> None:
    headers = key(web, rate_limit=1, permissions=("stt",))
    web.live.current = changed(web.live.current, "access", burst=1)
    for _ in range(5):
        assert (await web.client.post("/whisper/unload", headers=headers)).status == 403
    assert (await web.client.post(OPENAI, data=form(), headers=headers)).status == 200


# ---- what is written of it -----------------------------------------------------------------------


async def test_every_request_is_a_row(web: Web) -> None:
    made, text = make_key(web.live.current, rate_limit=2)
    web.live.current = changed(web.live.current, "access", burst=1)
    for _ in range(4):
        await web.client.post(OPENAI, data=form(), headers=bearer(text))
    await web.client.get("/v1/models/tiny.en?x=y", headers=bearer(text))
    await web.client.post("/whisper/unload", headers=bearer(text))
    found = await rows(web, "owner, key_id, method, endpoint, status", 6)
    assert {row[:2] for row in found} == {("ann", made.id)}
    assert [row[2:] for row in found] == [
        *[("POST", OPENAI, 200)] * 3,
        ("POST", OPENAI, 429),
        ("GET", "/v1/models/{id}", 200),
        ("POST", "/whisper/unload", 403),
    ]


async def test_a_row_has_the_recordings_and_the_models_seconds(web: Web) -> None:
    await web.client.post(OPENAI, data=form())
    [row] = await rows(web, "owner, key_id, audio_s, wall_s, device_s, latency_s > 0", 1)
    assert row == ("anybody", "", pytest.approx(5.24), pytest.approx(1.503), pytest.approx(1.4), 1)


async def test_strangers_make_no_rows(web: Web) -> None:
    headers = key(web)
    for _ in range(3):
        await web.client.post(OPENAI, data=form())
    await web.client.get("/health")
    await web.client.get("/v1/models", headers=headers)
    assert await rows(web, "endpoint", 1) == [("/v1/models",)]


async def test_no_key_is_logged(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made, text = make_key(web.live.current)
    for sent in (text, UNKNOWN, "lx_wrong-and-secret", text[3:]):
        await web.client.post(OPENAI, data=form(), headers=bearer(sent))
    lines = "\n".join(LineFormatter(prefixed=False).format(record) for record in caplog.records)
    assert text[3:20] not in lines
    assert "xxxx" not in lines
    assert "secret" not in lines
    assert f"owner=ann key_id={made.id}" in lines
