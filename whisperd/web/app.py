"""The application: its routes from one table, its state, its one middleware."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec
from aiohttp import web

from whisperd.access.gate import Gate
from whisperd.config.live import Live
from whisperd.jobs.desk import Desk
from whisperd.llm import LanguageModels
from whisperd.media.downloads import Downloads
from whisperd.media.fetch import Fetcher
from whisperd.media.spool import Spool
from whisperd.metrics import Metrics
from whisperd.service import Service
from whisperd.web import answers, malformed, middleware, openapi, ops
from whisperd.web.crossroads import Way, meet
from whisperd.web.dialects import (
    diarization,
    flask,
    flask_service,
    lexia,
    lexia_diarization,
    lexia_diarizations,
    lexia_events,
    lexia_jobs,
    lexia_transcriptions,
    llm,
    openai,
    openai_batch,
    openai_models,
    openai_translations,
    reflector,
    reflector_audio,
    reflector_translation,
    werify,
    werify_batch,
)
from whisperd.web.endpoint import Dialect, Endpoint
from whisperd.web.gate import guarded
from whisperd.web.invitation import hold
from whisperd.web.keys import (
    DESK,
    DIALECT_OF,
    DOCUMENT,
    DOWNLOADS,
    FETCHER,
    GATE,
    LIVE,
    LLM,
    METRICS,
    SERVICE,
    SPOOL,
    TURNSTILE,
)
from whisperd.web.routing import DoubledSlashes, single_slashes
from whisperd.web.turnstile import Turnstile
from whisperd.web.unread import LINGERING_S

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    openai_translations.ENDPOINT,
    *openai_models.ENDPOINTS,
    *llm.ENDPOINTS,
    diarization.ENDPOINT,
    *werify.ENDPOINTS,
    werify_batch.ENDPOINT,
    *flask_service.ENDPOINTS,
    reflector.TRANSCRIBE_URL,
    reflector_translation.TRANSLATE,
    reflector_audio.PAD,
    reflector_audio.MIXDOWN,
    *lexia_transcriptions.ENDPOINTS,
    *lexia_diarizations.ENDPOINTS,
    *lexia_jobs.ENDPOINTS,
    lexia_events.ENDPOINT,
    *ops.ENDPOINTS,
)

CROSSROADS: Final[tuple[tuple[Way, ...], ...]] = (
    (openai.TRANSCRIBE, openai_batch.TRANSCRIBE),
    (werify.TRANSCRIBE, flask.TRANSCRIBE, lexia.TRANSCRIBE),
    (lexia_diarization.DIARIZE, reflector.DIARIZE),
)
"""For each path that dialects share, their ways; the first serves what is like none of them."""

_MAX_REQUEST_LINE: Final = 2**18
"""Bytes: presigned URLs and whole sentences travel in queries."""


def served(dialects: Sequence[str]) -> list[Endpoint]:
    """The endpoints of these dialects, and those that are always there."""
    shared = [[way for way in ways if way.endpoint.is_served(dialects)] for ways in CROSSROADS]
    return [
        *(endpoint for endpoint in ENDPOINTS if endpoint.is_served(dialects)),
        *(meet(ways) for ways in shared if ways),
    ]


def _dialect_of(endpoints: Sequence[Endpoint]) -> Callable[[str], Dialect]:
    """Who is spoken to at a path; where nothing is served, whoever would expect an answer there."""
    known = {endpoint.path: endpoint.dialect for endpoint in reversed(endpoints)}
    patterns = [
        (re.compile(re.sub(r"\{[^{}]*\}", ".+", endpoint.path)), endpoint.dialect) for endpoint in endpoints
    ]

    def find(path: str) -> Dialect:
        path = single_slashes(path)
        if dialect := known.get(path):
            return dialect
        found = (dialect for pattern, dialect in patterns if pattern.fullmatch(path))
        return next(found, diarization.DIALECT if path.startswith("/v1/") else ops.DIALECT)

    return find


def create_app(
    live: Live,
    service: Service,
    spool: Spool,
    metrics: Metrics,
    *,
    fetcher: Fetcher,
    gate: Gate,
    desk: Desk,
    models: LanguageModels,
) -> web.Application:
    """Everything that is served on the sockets of `server.listen`."""
    malformed.keep_out_of_the_log()
    app = web.Application(
        middlewares=[middleware.exchange],
        handler_args={"max_line_size": _MAX_REQUEST_LINE, "lingering_time": LINGERING_S},
    )
    endpoints = served(live.current.api.dialects)
    app[LIVE] = live
    app[SERVICE] = service
    app[SPOOL] = spool
    app[METRICS] = metrics
    app[GATE] = gate
    app[DESK] = desk
    app[LLM] = models
    app.cleanup_ctx.append(_tend_gate)
    app[DOWNLOADS] = Downloads(spool, live)
    app.cleanup_ctx.append(_tend_downloads)
    app.cleanup_ctx.append(_close_connections)
    app[FETCHER] = fetcher
    app[TURNSTILE] = Turnstile()
    app[DIALECT_OF] = _dialect_of(endpoints)
    app[DOCUMENT] = msgspec.json.encode(openapi.describe(endpoints))
    app.on_response_prepare.append(answers.sign)
    for endpoint in endpoints:
        for method in ("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,):
            app.router.add_route(method, endpoint.path, guarded(endpoint), expect_handler=hold)
    # Parts of what is described, not parts of the API.
    app.router.add_get("/", ops.home)
    app.router.add_get("/redoc", ops.page)
    app.router.add_get("/docs/{asset}", ops.docs_asset)
    app.router.register_resource(DoubledSlashes(app.router))
    return app


async def _tend_gate(app: web.Application) -> AsyncIterator[None]:
    async with app[GATE].tended():
        yield


async def _tend_downloads(app: web.Application) -> AsyncIterator[None]:
    async with app[DOWNLOADS].tended():
        yield


async def _close_connections(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[FETCHER].aclose()
    await app[LLM].aclose()
