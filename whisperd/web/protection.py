"""Headers that keep browsers from doing with an answer what it is not meant for."""

from typing import Final

from aiohttp import web

from whisperd.web.forwarded import Origin

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
_UNLESS_SAID: Final = {
    # What people said is for whoever asked: no browser and no proxy is to keep it.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def protect(response: web.StreamResponse, origin: Origin | None, hsts_s: float) -> None:
    """Add them. `hsts_s`: how long a browser that came by HTTPS is to keep to it; 0 says nothing of it."""
    response.headers.update(_ALWAYS)
    for name, value in _UNLESS_SAID.items():
        response.headers.setdefault(name, value)
    if hsts_s and origin and origin.scheme == "https":
        response.headers["Strict-Transport-Security"] = f"max-age={int(hsts_s)}"
