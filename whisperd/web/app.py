"""The application: its routes from one table, its state, its one middleware."""

from typing import Final

import msgspec
from aiohttp import web

from whisperd.config.live import Live
from whisperd.media.spool import Spool
from whisperd.metrics import Metrics
from whisperd.service import Service
from whisperd.web import malformed, middleware, openapi, ops
from whisperd.web.dialects import diarization, openai, werify
from whisperd.web.endpoint import Dialect, Endpoint
from whisperd.web.keys import DIALECT_OF, DOCUMENT, LIVE, METRICS, SERVICE, SPOOL

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    openai.ENDPOINT,
    diarization.ENDPOINT,
    werify.ENDPOINT,
    *ops.ENDPOINTS,
)

_DIALECTS: Final = {endpoint.path: endpoint.dialect for endpoint in ENDPOINTS}


def dialect_of(path: str) -> Dialect:
    """Who is spoken to at a path; where nothing is served, whoever would expect an answer there."""
    return _DIALECTS.get(path, openai.DIALECT if path.startswith("/v1/") else ops.DIALECT)


def create_app(live: Live, service: Service, spool: Spool, metrics: Metrics) -> web.Application:
    """Everything that is served on the sockets of `server.listen`."""
    malformed.keep_out_of_the_log()
    app = web.Application(middlewares=[middleware.exchange])
    app[LIVE] = live
    app[SERVICE] = service
    app[SPOOL] = spool
    app[METRICS] = metrics
    app[DIALECT_OF] = dialect_of
    app[DOCUMENT] = msgspec.json.encode(openapi.describe(ENDPOINTS))
    app.on_response_prepare.append(middleware.sign)
    for endpoint in ENDPOINTS:
        app.router.add_route(endpoint.method, endpoint.path, endpoint.handler)
        if endpoint.method == "GET":
            app.router.add_route("HEAD", endpoint.path, endpoint.handler)
    # Parts of what is described, not parts of the API.
    app.router.add_get("/", ops.home)
    app.router.add_get("/docs/{asset}", ops.docs_asset)
    return app
