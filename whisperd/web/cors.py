"""Pages of other sites that use this server from a browser, which asks whether they may (CORS).

Nothing is said of it unless `api.cors_origins` names sites. Keys are sent by scripts in a header of their
own, never by the browser by itself, so that no answer speaks of credentials.
"""

import re
from collections.abc import Collection
from typing import Final

from aiohttp import web

_ASKED: Final = "Access-Control-Request-Method"
_EXPOSED: Final = ", ".join(
    (
        "Retry-After",
        "X-Request-Id",
        "X-Whisperd-Warnings",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
    )
)
_NAMES: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(\s*,\s*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_MAX_AGE_S: Final = 600


def preflight(request: web.Request, sites: Collection[str]) -> web.Response | None:
    """The answer to a browser that asks before it sends; None where none does, or may not.

    It asks without the key, so that it is answered for guarded endpoints too.
    """
    if request.method != "OPTIONS" or _ASKED not in request.headers or _allowed(request, sites) is None:
        return None
    unmatched = request.match_info.http_exception
    if not isinstance(unmatched, web.HTTPMethodNotAllowed):
        return None
    headers = {
        "Access-Control-Allow-Methods": ", ".join(sorted(unmatched.allowed_methods)),
        "Access-Control-Max-Age": str(_MAX_AGE_S),
    }
    wanted = request.headers.get("Access-Control-Request-Headers", "")
    if _NAMES.fullmatch(wanted):
        headers["Access-Control-Allow-Headers"] = wanted
    return web.Response(status=204, headers=headers)


def permit(request: web.Request, response: web.StreamResponse, sites: Collection[str]) -> None:
    """Have the browser give the answer to the page that asked, if it may."""
    if not sites:
        return
    if "*" not in sites:
        vary = response.headers.get("Vary")
        response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
    if site := _allowed(request, sites):
        response.headers["Access-Control-Allow-Origin"] = site
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED


def _allowed(request: web.Request, sites: Collection[str]) -> str | None:
    """What to call the site that asks; None for one that may not."""
    site = request.headers.get("Origin")
    if site is None:
        return None
    return "*" if "*" in sites else site if site in sites else None
