"""Where requests come from: this machine, a private network, one that is trusted, or anywhere."""

import functools
import ipaddress
from collections.abc import Iterable
from typing import Final

from whisperd.config.kinds import UNIX

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PRIVATE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8", "::1/128",  # this machine
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7",
        "169.254.0.0/16", "fe80::/10",  # without a router
    )
)  # fmt: skip
"""Not 100.64.0.0/10, which strangers share behind one provider's router."""

UNIX_SOCKET: Final = ""
"""The address that the peer of a Unix socket has."""


def are_private(addresses: Iterable[str | None]) -> bool:
    """Whether every one is this machine's, or of a network that the internet does not reach."""
    return all(address == UNIX_SOCKET or _is_in(address, _PRIVATE) for address in addresses)


def are_in(addresses: Iterable[str | None], networks: Iterable[str]) -> bool:
    """Whether every one is in one of the networks. The peer of a Unix socket is at 127.0.0.1."""
    trusted = [_network(network) for network in networks]
    return bool(trusted) and all(
        _is_in("127.0.0.1" if address == UNIX_SOCKET else address, trusted) for address in addresses
    )


def is_proxy(address: str | None, proxies: Iterable[str]) -> bool:
    """Whether it is among the proxies: networks, and `unix` for the peers of Unix sockets."""
    if address == UNIX_SOCKET:
        return UNIX in proxies
    return _is_in(address, [_network(network) for network in proxies if network != UNIX])


def _is_in(text: str | None, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    address = parsed(text)
    return address is not None and any(address in network for network in networks)


@functools.lru_cache
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text)


@functools.lru_cache
def parsed(text: str | None) -> Address | None:
    """The address, an IPv4 one for what is mapped into IPv6; None for what is none, or not known."""
    try:
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
