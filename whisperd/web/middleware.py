"""Around every handler: an id, one shape for its errors, one line in the journal, the metrics."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from whisperd.errors import MethodNotAllowed, RequestError, UnknownRoute, WhisperdError
from whisperd.journal import fields
from whisperd.web import again, answers, cors, forwarded, unread
from whisperd.web.accounting import account, outcome
from whisperd.web.keys import DIALECT_OF, EXCHANGE, LIVE, ORIGIN

logger = logging.getLogger(__name__)

_CLIENT_CLOSED: Final = 499
"""What the log says of a caller who left; nginx's number."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def exchange(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer one request, whatever happens in its handler, and account for it."""
    this = answers.begin(request, request.app[DIALECT_OF](request.path))
    code = None
    config = request.app[LIVE].current
    try:
        request[ORIGIN] = forwarded.origin(request, config.server.trusted_proxies)
        async with unread.awaited(request):
            response = cors.preflight(request, config.api.cors_origins) or await handler(request)
    except asyncio.CancelledError:
        account(request, this, _CLIENT_CLOSED, "cancelled", None)
        raise
    except ConnectionResetError as error:
        # A caller who has just left is noticed by writing first, now and then: the same, as aiohttp tells it.
        account(request, this, _CLIENT_CLOSED, "cancelled", None)
        raise asyncio.CancelledError from error
    except Exception as error:
        known = _known(request, error)
        code = known.code
        if request.writer.output_size:
            # An answer is on its way already; a second one would be read as more of it.
            account(request, this, known.status, "failed", code)
            raise
        response = answers.refusal(request, known)
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        unread.close(request, response)
        again.remember(request)
    if this.failure:
        account(request, this, this.failure.status, "failed", this.failure.code)
        return response
    account(request, this, response.status, outcome(response.status), code)
    return response


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
