"""The kinds of value that options have: a type, and the check that goes with it.

A check raises ValueError, in words for the person who wrote the value.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from whisperd.config.units import Duration, Size
from whisperd.transcript.languages import LANGUAGES

UNIX_PATH_BYTES: Final = 107
"""The kernel's limit on the path of a Unix socket."""

CREDENTIAL: Final = "credential:"
"""Before the name of a file that systemd passes to the service (LoadCredential=)."""
UNIX: Final = "unix"
"""Among networks of proxies: whoever connects to a Unix socket."""

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_DEVICE: Final = re.compile(r"auto|cpu|cuda|cuda:all|cuda:(0|[1-9][0-9]*)(,cuda:(0|[1-9][0-9]*))*")


class HostPort(NamedTuple):
    """A TCP address; port 0 is any free one."""

    host: str
    port: int


def parse_address(text: str) -> HostPort | Path:
    """Read "HOST:PORT", "[IPv6]:PORT" or "unix:/PATH". Raises ValueError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f'"{text}" needs an absolute path, such as "unix:/run/whisperd/http.sock"')
        if len(path.encode()) > UNIX_PATH_BYTES:
            raise ValueError(f'"{text}" is too long for a socket: {UNIX_PATH_BYTES} bytes is the limit')
        return Path(path)
    host, colon, port = text.rpartition(":")
    if not colon or not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        raise ValueError(
            f'"{text}" is not an address; write "HOST:PORT", "[IPv6]:PORT" (port 0 to 65535) or "unix:/PATH"'
        )
    return HostPort(_host(host), int(port))


def _host(host: str) -> str:
    try:
        if host.startswith("[") and host.endswith("]"):
            return str(ipaddress.IPv6Address(host[1:-1]))
        if re.fullmatch("[0-9.]+", host):
            return str(ipaddress.IPv4Address(host))
    except ValueError as error:
        raise ValueError(f'"{host}" is not an IP address: {error}') from error
    if ":" in host:
        raise ValueError(f'"{host}" holds a colon; an IPv6 address stands in brackets: "[{host}]:PORT"')
    if not _HOST.fullmatch(host):
        raise ValueError(f'"{host}" is not a host name')
    return host


def _address(text: str) -> None:
    parse_address(text)


def _positive(number: float) -> None:
    if number <= 0:
        raise ValueError(f"{number} is too small; it must be more than 0")


def _device(text: str) -> None:
    if not _DEVICE.fullmatch(text):
        raise ValueError(
            f'"{text}" is not a device; use "auto", "cpu", "cuda", "cuda:N", several of these with commas '
            'between them, or "cuda:all"'
        )
    names = text.split(",")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f'"{text}" names {twice} twice')


def _language(text: str) -> None:
    if text != "auto" and text not in LANGUAGES:
        by_name = {name: code for code, name in LANGUAGES.items()}
        code = by_name.get(text.lower()) or re.split("[-_]", text.lower())[0]
        hint = f'; did you mean "{code}"?' if code in LANGUAGES else ""
        raise ValueError(f'"{text}" is not a language that Whisper knows; use its code, or "auto"{hint}')


def _model(text: str) -> None:
    if re.search(r"\s", text) or text.startswith((".", "~")):
        raise ValueError(f'"{text}" is not a model; use a name from `whisperd models list`')


def _absolute(path: Path) -> None:
    if not path.is_absolute():
        raise ValueError(f'"{path}" is not an absolute path')
    if ".." in path.parts:
        raise ValueError(f'"{path}" must not hold ".."')
    if "\0" in str(path):
        raise ValueError("no path can hold the character U+0000")


def _destination(text: str) -> None:
    try:
        if re.search("[/:]", text) or re.fullmatch("[0-9.]+", text):
            ipaddress.ip_network(text)
            return
    except ValueError as error:
        raise ValueError(f'"{text}" is not a network: {error}') from error
    if not _HOST.fullmatch(text.removeprefix("*.")):
        raise ValueError(f'"{text}" is neither a host name, such as "garage", nor a network')


def _network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is not a network: {error}') from error


def _file(path: Path) -> None:
    if not str(path).startswith(CREDENTIAL):
        _absolute(path)
    elif not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", str(path).removeprefix(CREDENTIAL)):
        raise ValueError(f'"{path}" does not name a credential; write "credential:NAME"')


def _secret_file(path: Path) -> None:
    _file(path)


def _proxy(text: str) -> None:
    if text != UNIX:
        _network(text)


def _web_origin(text: str) -> None:
    if not re.fullmatch(r"\*|[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+", text):
        raise ValueError(
            f'"{text}" is not an origin; write "https://HOST" or "https://HOST:PORT", in lower case and '
            'without a path, or "*" for all'
        )


def _base_url(text: str) -> None:
    if not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", text):
        raise ValueError(f'"{text}" is not a base URL; write "http://HOST:PORT/v1", without user or query')


def _proxy_url(text: str) -> None:
    if "@" in text:  # and what stands before it is not to be told
        raise ValueError(
            'the URL of a proxy is "http://HOST:PORT"; its user and password stand in fetch.proxy_login_file'
        )
    scheme, _, address = text.rpartition("//")
    if scheme != "http:" or not isinstance(parse_address(address), HostPort):
        raise ValueError(f'"{text}" is not the URL of a proxy; write "http://HOST:PORT"')


def _model_alias(text: str) -> None:
    if not re.fullmatch(r"[^=\s]+=\S+", text):
        raise ValueError(f'"{text}" is not "NAME=MODEL"')


Auto = Literal["auto"]
Installed = Literal["installed"]
Nothing = Literal["none"]
Count = Annotated[int, _positive]
Time = Annotated[Duration, _positive]
Bytes = Annotated[Size, _positive]
Directory = Annotated[Path, _absolute]
Address = Annotated[str, _address]
Destination = Annotated[str, _destination]
"""A host's name, `*.` before a domain for all hosts in it, or a network."""
Network = Annotated[str, _network]
Proxy = Annotated[str, _proxy]
"""A network, or `unix`."""
WebOrigin = Annotated[str, _web_origin]
"""What a browser calls the site that a page comes from, or `*`."""
CertificateFile = Annotated[Path, _file]
"""A file with certificates, or a credential."""
SecretFile = Annotated[Path, _secret_file]
"""A file that holds a secret, or a credential."""
BaseUrl = Annotated[str, _base_url]
ProxyUrl = Annotated[str, _proxy_url]
"""`http://HOST:PORT`."""
ModelAlias = Annotated[str, _model_alias]
"""Our own name of a model, and the one that its server knows."""
Device = Annotated[str, _device]
Language = Annotated[str, _language]
Model = Annotated[str, _model]
