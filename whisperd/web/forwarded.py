"""Where a request comes from, and to which address it was sent: what a trusted proxy says, or what is seen.

In a forwarding header each proxy writes to the right of the one before it whom it was asked by. The rightmost
address that is not a trusted proxy's is the client's; what stands left of it anybody may have written.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from aiohttp import web

from whisperd.access import networks
from whisperd.errors import RequestError

_PORT: Final = re.compile(r"\[(.+)\](?::\d+)?|([^:]+):\d+")
"""An address as `Forwarded` has it: in brackets if it is an IPv6 one, perhaps with a port."""
_HOST: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class Origin(NamedTuple):
    """Who sends a request, and to which address."""

    client: str | None
    """Empty for a Unix socket's peer, None where nobody knows."""
    scheme: str
    host: str
    claims: tuple[str | None, ...] = ()
    """Addresses that the request is said to come from, by somebody whose word is not enough. A client can
    claim what it likes: these can only close the gate, never open it.
    """


class _Hop(NamedTuple):
    """What one proxy says of whoever sent a request to it."""

    client: str | None
    scheme: str | None
    host: str | None


def origin(request: web.Request, proxies: Sequence[str]) -> Origin:
    """Tell it by `server.trusted_proxies`. Raises RequestError where headers contradict each other."""
    peer = request.remote
    if not networks.is_proxy(peer, proxies):
        return Origin(peer, request.scheme, request.host, tuple(_claims(request)))
    chains = [chain for chain in (_usual(request, peer), _standard(request)) if chain]
    told = [_client(chain, proxies) for chain in chains]
    # A proxy that writes one of the two passes on what clients put into the other.
    if len({networks.parsed(hop.client) for hop in told}) > 1:
        raise RequestError("Forwarded and X-Forwarded-For tell of different clients")
    return Origin(
        told[0].client if told else peer,
        next((hop.scheme for hop in told if hop.scheme in ("http", "https")), request.scheme),
        next((hop.host for hop in told if hop.host and _HOST.fullmatch(hop.host)), request.host),
        tuple(map(_bare, _listed(request, "X-Real-IP"))),
    )


def _client(chain: Sequence[_Hop], proxies: Sequence[str]) -> _Hop:
    """The rightmost that is no proxy; the leftmost where all are."""
    return next((hop for hop in reversed(chain) if not networks.is_proxy(hop.client, proxies)), chain[0])


def _usual(request: web.Request, peer: str | None) -> list[_Hop]:
    """By `X-Forwarded-For`, `-Proto` and `-Host`."""
    clients, schemes, hosts = (_listed(request, f"X-Forwarded-{name}") for name in ("For", "Proto", "Host"))
    if not clients and (schemes or hosts):
        return [_Hop(peer, _beside(schemes, 0, 1), _beside(hosts, 0, 1))]
    count = len(clients)
    return [
        _Hop(_bare(client), _beside(schemes, place, count), _beside(hosts, place, count))
        for place, client in enumerate(clients)
    ]


def _beside(values: Sequence[str], place: int, count: int) -> str | None:
    """The value that belongs to the client at a place; the last where not every proxy has added one."""
    if not values:
        return None
    return values[place] if len(values) == count else values[-1]


def _standard(request: web.Request) -> list[_Hop]:
    """By `Forwarded` (RFC 7239). An element without `for` tells of a client whom nobody knows."""
    return [
        _Hop(_bare(element.get("for", "")), element.get("proto", "").lower(), element.get("host"))
        for element in request.forwarded
    ]


def _claims(request: web.Request) -> Iterator[str | None]:
    for name in ("X-Forwarded-For", "X-Real-IP"):
        yield from map(_bare, _listed(request, name))
    for element in request.forwarded:
        if "for" in element:
            yield _bare(element["for"])


def _listed(request: web.Request, name: str) -> list[str]:
    return [part.strip() for header in request.headers.getall(name, ()) for part in header.split(",")]


def _bare(text: str) -> str | None:
    text = text.strip()
    match = _PORT.fullmatch(text)
    return (match[1] or match[2] if match else text) or None
