"""Around every handler: an id, one shape for its errors, one line in the journal, the metrics."""

import asyncio
import datetime
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from whisperd.access.caller import Caller
from whisperd.access.usage import Use
from whisperd.errors import MethodNotAllowed, RequestError, Unauthorized, UnknownRoute, WhisperdError
from whisperd.journal import fields
from whisperd.web import cors, forwarded, gate, protection, unread
from whisperd.web.keys import CALLER, DIALECT_OF, EXCHANGE, GATE, LIVE, METRICS, ORIGIN, QUOTA, Exchange

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER: Final = "X-Request-Id"
_CLIENT_CLOSED: Final = 499
"""What the log says of a caller who left; nginx's number."""
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def exchange(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer one request, whatever happens in its handler, and account for it."""
    sent = request.headers.get(REQUEST_ID_HEADER, "")
    this = Exchange(
        id=sent if _SANE_ID.fullmatch(sent) else secrets.token_hex(8),
        dialect=request.app[DIALECT_OF](request.path),
        started=time.monotonic(),
    )
    request[EXCHANGE] = this
    code = None
    config = request.app[LIVE].current
    try:
        request[ORIGIN] = forwarded.origin(request, config.server.trusted_proxies)
        async with unread.awaited(request):
            response = cors.preflight(request, config.api.cors_origins) or await handler(request)
    except asyncio.CancelledError:
        _account(request, this, _CLIENT_CLOSED, "cancelled", None)
        raise
    except ConnectionResetError as error:
        # A caller who has just left is noticed by writing first, now and then: the same, as aiohttp tells it.
        _account(request, this, _CLIENT_CLOSED, "cancelled", None)
        raise asyncio.CancelledError from error
    except Exception as error:
        known = _known(request, error)
        code = known.code
        if request.writer.output_size:
            # An answer is on its way already; a second one would be read as more of it.
            _account(request, this, known.status, "failed", code)
            raise
        response = this.dialect.render_error(request, known)
        if known.retry_after_s:
            response.headers["Retry-After"] = str(known.retry_after_s)
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        if isinstance(known, Unauthorized):
            response.headers["WWW-Authenticate"] = "Bearer"
        unread.close(request, response)
    if this.failure:
        _account(request, this, this.failure.status, "failed", this.failure.code)
        return response
    outcome = "ok" if response.status < 400 else "refused" if response.status < 500 else "failed"
    _account(request, this, response.status, outcome, code)
    return response


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer its request's id, what is left of the key's requests, and what browsers may do with
    it.
    """
    config = request.app[LIVE].current
    response.headers[REQUEST_ID_HEADER] = request[EXCHANGE].id
    protection.protect(response, request.get(ORIGIN), config.server.hsts)
    cors.permit(request, response, config.api.cors_origins)
    if quota := request.get(QUOTA):
        response.headers.update(gate.headers(quota))


def _known(request: web.Request, error: Exception) -> WhisperdError:
    """The error as callers may see it; what nobody foresaw goes to the journal and not to them."""
    match error:
        case WhisperdError():
            return error
        case web.HTTPNotFound():
            return UnknownRoute(f"nothing is served at {request.path}")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return MethodNotAllowed(f"{request.method} is not possible here; {allowed} is")
        case web.HTTPException() if 400 <= error.status < 500:
            return RequestError(error.reason)
    logger.error(
        "a request failed in a way that nobody foresaw",
        exc_info=error,
        extra=fields(request_id=request[EXCHANGE].id),
    )
    return WhisperdError("the server failed; its journal has the reason")


def _account(request: web.Request, this: Exchange, status: int, outcome: str, code: str | None) -> None:
    """One line and one count. Never the text, nor what stands behind the `?`."""
    wall_s = time.monotonic() - this.started
    origin = request.get(ORIGIN)
    metrics = request.app[METRICS]
    metrics.request_ended(this.dialect.name, outcome, status, wall_s)
    for transcript in this.transcripts:
        metrics.answered(this.dialect.name, transcript)
    caller = request.get(CALLER)
    if caller:
        request.app[GATE].usage.record(_use(request, this, caller, status, wall_s))
    level = logging.DEBUG if this.dialect.quiet and status < 500 else logging.INFO
    last = this.transcripts[-1] if this.transcripts else None
    audio_s = sum(transcript.duration for transcript in this.transcripts) if last else None
    warnings = dict.fromkeys(notice.code for one in this.transcripts for notice in one.warnings)
    path = request.rel_url.raw_path  # as it was sent: decoded, it could look like more lines of a log
    logger.log(
        level,
        "%s %s %d %s%s",
        request.method,
        path,
        status,
        outcome,
        f", {audio_s:.1f} s of audio in {wall_s:.2f} s" if audio_s else "",
        extra=fields(
            request_id=this.id,
            client=origin.client if origin else request.remote,
            owner=caller.owner if caller and caller.key_id else None,
            key_id=caller.key_id if caller else None,
            dialect=this.dialect.name,
            method=request.method,
            path=path,
            status=status,
            outcome=outcome,
            error_code=code,
            wall_s=round(wall_s, 3),
            audio_s=round(audio_s, 3) if audio_s is not None else None,
            speed=round(audio_s / wall_s, 1) if audio_s else None,
            model=last.model if last else None,
            device=last.device if last else None,
            warnings=",".join(warnings) or None,
        ),
    )


def _use(request: web.Request, this: Exchange, caller: Caller, status: int, wall_s: float) -> Use:
    resource = request.match_info.route.resource
    timings = [transcript.timings for transcript in this.transcripts]
    return Use(
        at=datetime.datetime.now(datetime.UTC),
        owner=caller.owner,
        key_id=caller.key_id,
        endpoint=resource.canonical if resource else request.path,
        method=request.method,
        status=status,
        latency_s=wall_s,
        audio_s=sum(transcript.duration for transcript in this.transcripts),
        wall_s=sum(each.wall_s for each in timings),
        device_s=sum(each.device_s for each in timings),
        tokens_in=this.tokens_input,
        tokens_out=this.tokens_output,
    )
