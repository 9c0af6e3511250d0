"""Where requests may send this server: into the internet, and where the configuration says.

A name is checked when it is resolved for a connection, and the addresses that passed are those connected
to: there is no second lookup that could answer otherwise.
"""

import ipaddress
import logging
import re
import socket
from collections.abc import Iterable
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from whisperd.config.live import Live
from whisperd.errors import UrlRefused

logger = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What `is_global` gets wrong in some versions of Python: IANA says that none of it is reached globally.
_NOT_GLOBAL: Final = tuple(
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "2001::/23", "2002::/16", "3fff::/20")
)  # fmt: skip
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOOKS_NUMERIC: Final = re.compile("[0-9.]+|.*:.*")


class Guard(AbstractResolver):
    """Resolves names for connections, and refuses those that lead where requests may not send us."""

    def __init__(self, live: Live, resolver: AbstractResolver) -> None:
        self._live = live
        self._resolver = resolver

    def check(self, url: URL) -> None:
        """Check an address that stands in the URL itself, for it is never resolved. Raises UrlRefused."""
        host = url.raw_host or ""
        if _LOOKS_NUMERIC.fullmatch(host):
            self._admit(host, [host])

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses that may be connected to. Raises UrlRefused if one may not, OSError if there is none."""
        try:
            results = await self._resolver.resolve(host, port, family)
        except UnicodeError:  # a label that is empty or too long
            results = []
        if not results:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self._admit(host, [result["host"] for result in results])
        return results

    async def close(self) -> None:
        """Release the resolver."""
        await self._resolver.close()

    def _admit(self, host: str, addresses: Iterable[str]) -> None:
        allow = self._live.current.fetch.allow
        if any(_is_named(host, entry) for entry in allow):
            return
        networks = _networks(allow)
        for address in addresses:
            if not _may_be_used(address, networks):
                logger.info("refused to use %s, which is at %s", host, address)
                raise UrlRefused(
                    f"{host} is refused: it is not a public address of the internet, and `fetch.allow` "
                    "in this server's configuration, which can allow it, does not"
                )


def is_public(address: Address) -> bool:
    """Whether the address is one host's on the internet.

    Of the IPv6 addresses that stand for an IPv4 one, those of today count as what they stand for (mapped,
    NAT64); those of the past (6to4, Teredo) are not public.
    """
    address = _meant(address)
    if address.is_multicast or any(address in network for network in _NOT_GLOBAL):
        return False
    return address.is_global and (address.version == 4 or address in _GLOBAL_UNICAST)


def _may_be_used(text: str, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        address = _meant(ipaddress.ip_address(text))
    except ValueError:
        return False  # some other way to write a number, which the system's resolver might understand
    return is_public(address) or any(address in network for network in networks)


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for; any other as it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_named(host: str, entry: str) -> bool:
    """Whether an entry of `fetch.allow` is the host's name, or that of a domain it is in."""
    host, entry = host.rstrip(".").lower(), entry.lower()
    return host.endswith(entry[1:]) if entry.startswith("*.") else host == entry


def _networks(allow: Iterable[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(entry) for entry in allow if re.search("[/:]|^[0-9.]+$", entry)]
