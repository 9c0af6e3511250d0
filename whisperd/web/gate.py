"""Before a handler: who sends the request, whether they may, and whether it is one too many.

All of this is known from the head of a request, before its body is asked for.
"""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from whisperd.access.gate import authorize
from whisperd.access.limits import Quota
from whisperd.errors import RateLimited
from whisperd.web.endpoint import Endpoint
from whisperd.web.invitation import check_expectation
from whisperd.web.keys import CALLER, GATE, ORIGIN, QUOTA

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(endpoint: Endpoint) -> Handler:
    """The endpoint's handler, for those who may use it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if endpoint.permission is not None:
            _admit(request, endpoint)
        check_expectation(request)
        return await endpoint.handler(request)

    return handle


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
