"""The sockets that clients connect to, bound before anything is loaded: a taken port is found at once."""

import socket
import stat
from pathlib import Path
from typing import Final

from whisperd.config.kinds import HostPort, parse_address
from whisperd.errors import StartError

BACKLOG: Final = 1024


def bind(addresses: tuple[str, ...]) -> list[socket.socket]:
    """One listening socket for each address. Raises StartError that names the address and the reason."""
    sockets = []
    for address in addresses:
        where = parse_address(address)
        try:
            listener = _bind_inet(where) if isinstance(where, HostPort) else _bind_unix(where)
        except OSError as error:
            raise StartError(f"cannot listen on {address}: {error.strerror or error}") from error
        listener.setblocking(False)
        sockets.append(listener)
    return sockets


def bind_control(path: Path) -> socket.socket:
    """The control socket; its directory is made if need be. Raises StartError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        return _bind_unix(path)
    except OSError as error:
        raise StartError(f"cannot make the control socket {path}: {error.strerror}") from error


def _bind_inet(where: HostPort) -> socket.socket:
    family = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)[0][0]
    # An IPv6 address means IPv6 alone, so that "[::]" can stand beside "0.0.0.0" with the same port.
    return socket.create_server((where.host, where.port), family=family, backlog=BACKLOG)


def _bind_unix(path: Path) -> socket.socket:
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()  # left by a crash
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
