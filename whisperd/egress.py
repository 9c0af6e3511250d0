"""How this server goes out to others: whom it trusts beside the system's authorities, and by which proxy.

Behind a proxy nothing can be pinned but the tunnels of HTTPS: they are asked for to an address that was
looked up, and checked, here. Plain HTTP, and names that can't be looked up here, go to the proxy by name.
"""

import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aiohttp import (
    ClientConnectorDNSError,
    ClientError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    encode_basic_auth,
    hdrs,
)
from aiohttp.abc import AbstractResolver
from yarl import URL

from whisperd import __version__
from whisperd.config.gateway import Fetch
from whisperd.config.secret import read_secret, readable
from whisperd.errors import ConfigError, StartError
from whisperd.media.guard import is_public
from whisperd.media.resolver import Resolver

CA_FILE: Final = "fetch.ca_file"
LOGIN_FILE: Final = "fetch.proxy_login_file"
_PROXY_REFUSES: Final = 407


class ProxyFailed(ClientError):
    """The proxy's fault and not the other server's; the message says what it did."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the configuration's files and options come to."""

    trusted: ssl.SSLContext | Literal[True]
    """True are the system's authorities alone, which aiohttp has read already."""
    authorities: bytes
    """The file with those that are not the system's."""
    proxy: str | None
    login: str | None = field(repr=False)
    """As a header says it."""


def read(fetch: Fetch) -> Means:
    """What `fetch.ca_file`, `fetch.proxy` and `fetch.proxy_login_file` say. Raises ConfigError."""
    proxy = None if fetch.proxy == "none" else fetch.proxy
    if fetch.ca_file == "none":
        return Means(True, b"", proxy, _login(fetch))
    file = readable(fetch.ca_file, CA_FILE)
    trusted = ssl.create_default_context()
    try:
        trusted.load_verify_locations(file)
        authorities = file.read_bytes()
    except ssl.SSLError as error:
        raise ConfigError(f"{CA_FILE}: {fetch.ca_file} holds no certificates (PEM)") from error
    return Means(trusted, authorities, proxy, _login(fetch))


def _login(fetch: Fetch) -> str | None:
    if fetch.proxy_login_file == "none":
        return None
    try:
        user, colon, password = read_secret(fetch.proxy_login_file, LOGIN_FILE).partition(":")
    except StartError as error:
        raise ConfigError(error.message) from error
    if not (user and colon):
        raise ConfigError(f'{LOGIN_FILE}: the first line of {fetch.proxy_login_file} is not "USER:PASSWORD"')
    return encode_basic_auth(user, password, "utf-8")


class Egress:
    """The means in force, which a reload replaces. Read `current` at each use; never keep it."""

    def __init__(self, means: Means) -> None:
        self.current = means

    def renew(self, means: Means) -> list[str]:
        """Put others in their place; returns the options whose files said something else before."""
        old, self.current = self.current, means
        said = ((CA_FILE, old.authorities, means.authorities), (LOGIN_FILE, old.login, means.login))
        return [option for option, before, now in said if before != now]


class Client:
    """Sends requests, each on a connection of its own: one that was kept may be gone, or lead elsewhere.

    `resolver`, which is closed with the client, has a say in where they go: it may refuse a name. Redirects
    are not followed.
    """

    def __init__(
        self,
        egress: Egress,
        resolver: AbstractResolver,
        *,
        headers: Mapping[str, str] | None = None,
        skip_auto_headers: tuple[str, ...] = (),
    ) -> None:
        self._egress = egress
        self._resolver = resolver
        self._headers = {"Accept-Encoding": "identity", "User-Agent": f"whisperd/{__version__}"}
        self._headers |= headers or {}
        self._skip = skip_auto_headers
        self._direct = self._session(resolver)
        # It connects to the proxy alone, which is where the configuration says, whatever requests may name.
        self._proxy_resolver = Resolver()
        self._to_proxy = self._session(self._proxy_resolver)

    def _session(self, resolver: AbstractResolver) -> ClientSession:
        return ClientSession(
            connector=TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True, limit=0),
            cookie_jar=DummyCookieJar(),
            skip_auto_headers=self._skip,
            timeout=ClientTimeout(),  # none, for whoever asks has theirs
            trust_env=False,
        )

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: URL, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[ClientResponse]:
        """The answer, whatever its status. Raises ClientError, and what the resolver raises."""
        means = self._egress.current
        # All of them here: aiohttp would hand those of a session to the proxy too, a server's key among them.
        sent = {**self._headers, **(headers or {})}
        options |= {"ssl": means.trusted, "allow_redirects": False}
        if means.proxy is None or not (target := await self._by_proxy(url)):
            async with self._direct.request(method, url, headers=sent, **options) as response:
                yield response
            return
        login: dict[str, str] = {hdrs.PROXY_AUTHORIZATION: means.login} if means.login else {}
        if url.scheme == "https":
            options |= {"server_hostname": (url.raw_host or "").rstrip("."), "proxy_headers": login}
            sent[hdrs.HOST] = url.host_port_subcomponent or ""
        else:
            sent |= login
        try:
            async with self._to_proxy.request(
                method, target, proxy=means.proxy, headers=sent, **options
            ) as response:
                if response.status == _PROXY_REFUSES:
                    raise ProxyFailed(f"answered {_PROXY_REFUSES}")
                yield response
        except ClientHttpProxyError as error:
            raise ProxyFailed(f"answered {error.status}") from None
        except (ClientProxyConnectionError, ClientConnectorDNSError):
            raise ProxyFailed("can't be reached") from None

    async def _by_proxy(self, url: URL) -> URL | None:
        """What to ask the proxy for; None where the proxy has no part in it."""
        host = url.raw_host or ""
        try:
            addresses = [ipaddress.ip_address(host)]
        except ValueError:
            try:
                found = await self._resolver.resolve(host, url.port or 0)
            except OSError:
                return url  # a name that perhaps the proxy knows
            addresses = [ipaddress.ip_address(result["host"]) for result in found]
        if not all(map(is_public, addresses)):
            return None
        # By IPv4 where there is a choice: whether the proxy has IPv6 can't be told from here.
        pinned = min(addresses, key=lambda address: address.version)
        # A proxy that is asked for a page of plain HTTP tells the server that host, instead of the name.
        return url.with_host(str(pinned)) if url.scheme == "https" else url

    async def aclose(self) -> None:
        """Close all connections."""
        await self._direct.close()
        await self._to_proxy.close()
        await self._resolver.close()
        await self._proxy_resolver.close()
