"""Before a handler: who sends the request, whether they may, and whether it is one too many.

All of this is known from the head of a request, before its body is asked for.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from aiohttp import hdrs, web

from whisperd.access.gate import authorize
from whisperd.access.limits import Quota
from whisperd.errors import RateLimited
from whisperd.web.endpoint import Endpoint
from whisperd.web.invitation import check_expectation
from whisperd.web.keys import CALLER, GATE, QUOTA

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PORT: Final = re.compile(r"\[(.+)\](?::\d+)?|([^:]+):\d+")
"""An address as `Forwarded` has it: in brackets if it is an IPv6 one, perhaps with a port."""


def guarded(endpoint: Endpoint) -> Handler:
    """The endpoint's handler, for those who may use it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if endpoint.permission is not None:
            _admit(request, endpoint)
        check_expectation(request)
        return await endpoint.handler(request)

    return handle


def _admit(request: web.Request, endpoint: Endpoint) -> None:
    gate = request.app[GATE]
    caller = gate.admit(request.headers.get(hdrs.AUTHORIZATION), list(_addresses(request)))
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


def _addresses(request: web.Request) -> Iterator[str | None]:
    """The peer's, and those of everybody whom it says it speaks for.

    A client can claim what it likes: an address more can only close the gate, never open it.
    """
    yield request.remote
    for name in ("X-Forwarded-For", "X-Real-IP"):
        for header in request.headers.getall(name, ()):
            yield from map(_bare, header.split(","))
    for element in request.forwarded:
        if "for" in element:
            yield _bare(element["for"])


def _bare(text: str) -> str | None:
    text = text.strip()
    match = _PORT.fullmatch(text)
    return (match[1] or match[2] if match else text) or None
