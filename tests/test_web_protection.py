"""What browsers are told: headers of every answer, and which other sites' pages may use the server (CORS)."""

import re
from collections.abc import AsyncIterator

import pytest
from conftest import changed
from fake_service import Web, form, serving
from keychain import make_key

from whisperd.config.live import Live
from whisperd.config.units import Duration
from whisperd.web.app import served

OPENAI = "/v1/audio/transcriptions"
SITE = "https://app.example"
ASKING = {"Origin": SITE, "Access-Control-Request-Method": "POST"}


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


def allow(web: Web, *sites: str) -> None:
    web.live.current = changed(web.live.current, "api", cors_origins=sites)


# ---- every answer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/health", "/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/", "/nowhere", "/v1/models"],
)
async def test_every_answer_keeps_browsers_from_guessing_framing_and_telling(web: Web, path: str) -> None:
    headers = (await web.client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_what_people_said_is_kept_by_nobody_on_the_way(web: Web) -> None:
    response = await web.client.post(OPENAI, data=form())
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
    refused = await web.client.post(OPENAI)
    assert (refused.status, refused.headers["Cache-Control"]) == (400, "no-store")


async def test_parts_of_the_page_are_kept_but_asked_for_again(web: Web) -> None:
    response = await web.client.get("/docs/swagger-ui.css")
    assert response.headers["Cache-Control"] == "no-cache"
    again = await web.client.get("/docs/swagger-ui.css", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status == 304


async def test_the_page_runs_scripts_from_here_alone(web: Web) -> None:
    response = await web.client.get("/docs")
    policy = dict(
        part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";")
    )
    assert policy["script-src"] == "'self'"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    page = await response.text()
    assert "<script>" not in page
    assert "//" not in page.replace("<!doctype html>", "")


async def test_browsers_are_kept_to_https_only_where_that_is_configured_and_they_came_by_it(web: Web) -> None:
    async def told(scheme: str) -> str | None:
        response = await web.client.get("/health", headers={"X-Forwarded-Proto": scheme})
        return response.headers.get("Strict-Transport-Security")

    web.live.current = changed(web.live.current, "server", trusted_proxies=("127.0.0.1/32",))
    assert await told("https") is None
    web.live.current = changed(web.live.current, "server", hsts=Duration("365d"))
    assert await told("https") == "max-age=31536000"
    assert await told("http") is None


# ---- pages of other sites ------------------------------------------------------------------------


async def test_nothing_is_said_to_other_sites_unless_they_are_configured(web: Web) -> None:
    asked = await web.client.options(OPENAI, headers=ASKING)
    assert asked.status == 405
    sent = await web.client.post(OPENAI, data=form(), headers={"Origin": SITE})
    for response in (asked, sent):
        assert not [name for name in response.headers if name.startswith("Access-Control-")]


async def test_a_configured_site_may_ask_and_read(web: Web) -> None:
    allow(web, "https://other.example", SITE)
    wanted = "authorization, content-type, x-stainless-lang"
    asked = await web.client.options(OPENAI, headers=ASKING | {"Access-Control-Request-Headers": wanted})
    assert asked.status == 204
    assert asked.headers["Access-Control-Allow-Origin"] == SITE
    assert asked.headers["Access-Control-Allow-Methods"] == "POST"
    assert asked.headers["Access-Control-Allow-Headers"] == wanted
    assert asked.headers["Vary"] == "Origin"
    sent = await web.client.post(OPENAI, data=form(), headers={"Origin": SITE})
    assert sent.status == 200
    assert sent.headers["Access-Control-Allow-Origin"] == SITE
    assert "X-Whisperd-Warnings" in sent.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in sent.headers


async def test_any_other_site_may_not(web: Web) -> None:
    allow(web, SITE)
    for site in ("https://app.example.evil", "http://app.example", "null"):
        asked = await web.client.options(OPENAI, headers=ASKING | {"Origin": site})
        assert asked.status == 405
        sent = await web.client.post(OPENAI, data=form(), headers={"Origin": site})
        assert "Access-Control-Allow-Origin" not in sent.headers
        assert sent.headers["Vary"] == "Origin"  # no cache is to give one site's answer to another


async def test_a_star_is_every_site(web: Web) -> None:
    allow(web, "*")
    asked = await web.client.options(OPENAI, headers=ASKING)
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, "*")


async def test_a_browser_asks_without_a_key_and_the_error_can_be_read_too(web: Web) -> None:
    make_key(web.live.current)
    allow(web, SITE)
    assert (await web.client.options(OPENAI, headers=ASKING)).status == 204
    refused = await web.client.post(OPENAI, data=form(), headers={"Origin": SITE})
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, SITE)


async def test_every_endpoint_can_be_asked_about(web: Web) -> None:
    allow(web, SITE)
    for endpoint in served(("openai", "reflector", "werify", "flask", "lexia")):
        path = re.sub(r"\{[^{}]*\}", "x", re.sub(r"\{suffix:(\w+)[^{}]*\}", r"\1", endpoint.path))
        asked = await web.client.options(path, headers=ASKING)
        assert asked.status == 204, path
        assert endpoint.method in asked.headers["Access-Control-Allow-Methods"].split(", ")
    assert (await web.client.options("/nowhere", headers=ASKING)).status == 404
