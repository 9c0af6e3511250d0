"""What answers have besides what their handlers give them: an id, headers, errors in the caller's dialect."""

import re
import secrets
import time
from typing import Final

from aiohttp import web

from whisperd.errors import Unauthorized, WhisperdError
from whisperd.web import cors, gate, protection
from whisperd.web.endpoint import Dialect
from whisperd.web.keys import EXCHANGE, LIVE, ORIGIN, QUOTA, Exchange

REQUEST_ID_HEADER: Final = "X-Request-Id"
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")


def begin(request: web.Request, dialect: Dialect, started: float | None = None) -> Exchange:
    """What will be known of a request that came at `started`, by the monotonic clock, or just now."""
    sent = request.headers.get(REQUEST_ID_HEADER, "")
    this = Exchange(
        id=sent if _SANE_ID.fullmatch(sent) else secrets.token_hex(8),
        dialect=dialect,
        started=time.monotonic() if started is None else started,
    )
    request[EXCHANGE] = this
    return this


def refusal(request: web.Request, error: WhisperdError) -> web.Response:
    """The error as its dialect tells it."""
    response = request[EXCHANGE].dialect.render_error(request, error)
    if error.retry_after_s:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """Sign an answer that aiohttp is about to send."""
    sign_now(request, response)


def sign_now(request: web.Request, response: web.StreamResponse) -> None:
    """Give it its request's id, what is left of the key's requests, and what browsers may do with it."""
    config = request.app[LIVE].current
    response.headers[REQUEST_ID_HEADER] = request[EXCHANGE].id
    protection.protect(response, request.get(ORIGIN), config.server.hsts)
    cors.permit(request, response, config.api.cors_origins)
    if quota := request.get(QUOTA):
        response.headers.update(gate.headers(quota))
