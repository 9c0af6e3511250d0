"""The sockets that clients connect to, bound before anything is loaded: a taken port is found at once."""

import socket
import stat
from pathlib import Path
from typing import Final

from whisperd.errors import StartError

BACKLOG: Final = 1024
_UNIX: Final = "unix:"


def bind(addresses: tuple[str, ...]) -> list[socket.socket]:
    """One listening socket for each address. Raises StartError that names the address and the reason."""
    sockets = []
    for address in addresses:
        try:
            sockets.append(_bind_unix(address) if address.startswith(_UNIX) else _bind_inet(address))
        except OSError as error:
            raise StartError(f"cannot listen on {address}: {error.strerror or error}") from error
    return sockets


def _bind_inet(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family, kind, protocol, _, target = socket.getaddrinfo(
        host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        # "[::]" means IPv6 alone, so that it can stand beside "0.0.0.0" with the same port.
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(target)
    listener.listen(BACKLOG)
    return listener


def _bind_unix(address: str) -> socket.socket:
    path = Path(address.removeprefix(_UNIX))
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()  # left by a crash
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(str(path))
    path.chmod(0o660)
    listener.listen(BACKLOG)
    return listener
