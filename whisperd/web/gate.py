"""Before a handler: who sends the request, whether they may, and whether it is one too many.

All of this is known from the head of a request. Its body is asked for only when it is welcome: a client that
waits for that (`Expect: 100-continue`) sends nothing in vain.
"""

from collections.abc import Awaitable, Callable

from aiohttp import HttpVersion11, hdrs, web

from whisperd.access.gate import authorize
from whisperd.access.limits import Quota
from whisperd.errors import RateLimited
from whisperd.web.endpoint import Endpoint
from whisperd.web.keys import CALLER, GATE, ORIGIN, QUOTA

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(endpoint: Endpoint) -> Handler:
    """The endpoint's handler, for those who may use it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if endpoint.permission is not None:
            _admit(request, endpoint)
        await _invite(request)
        return await endpoint.handler(request)

    return handle


async def hold(_: web.Request) -> None:
    """Leave a client waiting that asked whether to send its body: `guarded` answers it."""


def _admit(request: web.Request, endpoint: Endpoint) -> None:
    gate, origin = request.app[GATE], request[ORIGIN]
    caller = gate.admit(request.headers.get(hdrs.AUTHORIZATION), [origin.client, *origin.claims])
    request[CALLER] = caller
    authorize(caller, None if endpoint.permission == "any" else endpoint.permission)
    if request.method == "POST" and (quota := gate.spend(caller)):
        request[QUOTA] = quota
        if not quota.granted:
            raise RateLimited("Rate limit exceeded. Please retry later.", retry_after_s=quota.retry_after_s)


def headers(quota: Quota) -> dict[str, str]:
    """What is left, as clients read it."""
    return {
        "X-RateLimit-Limit": str(quota.limit),
        "X-RateLimit-Remaining": str(quota.remaining),
        "X-RateLimit-Reset": str(quota.reset_at),
    }


async def _invite(request: web.Request) -> None:
    """Ask for the body, where the client waits for that."""
    expectation = request.headers.get(hdrs.EXPECT)
    if expectation is None or request.version < HttpVersion11:
        return
    if expectation.lower() != "100-continue":
        raise web.HTTPExpectationFailed
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # it is no part of the answer, which has not begun
