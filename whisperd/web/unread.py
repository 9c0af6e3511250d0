"""What is left of a request's body when it is refused: the client still sends it, and nobody wants it.

Clients that look stop when they are told `Connection: close`. What others send is thrown away for a while, so
that they come to read the answer: some (urllib3, and so requests) don't where TLS breaks off on them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from whisperd.errors import WhisperdError
from whisperd.web.invitation import is_held

LINGERING_S: Final = 60
"""So long a body may go on."""
_BY_PROXIES: Final = ("Forwarded", "Via", "X-Forwarded-For")


@contextlib.asynccontextmanager
async def awaited(request: web.Request) -> AsyncIterator[None]:
    """Have a proxy told when to come again only when all of the body has come.

    Some proxies (Caddy) break off what their own client still sends as soon as they have an answer.
    """
    try:
        yield
    except WhisperdError as error:
        if error.retry_after_s and not is_held(request) and is_forwarded(request):
            with contextlib.suppress(TimeoutError, HttpProcessingError, web.RequestPayloadError):
                async with asyncio.timeout(LINGERING_S):
                    while await request.content.readany():
                        pass
        raise


def close(request: web.Request, response: web.Response) -> None:
    """Let this answer be the connection's last, where not all of the body has come."""
    if not request.content.is_eof():
        response.force_close()


def is_forwarded(request: web.Request) -> bool:
    """Whether a proxy sent it."""
    return any(name in request.headers for name in _BY_PROXIES)
