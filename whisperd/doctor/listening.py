"""The addresses to listen on: free, or held by whisperd itself."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from whisperd.config.kinds import HostPort, parse_address
from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine

_PRIVILEGED_BELOW: Final = 1024


def check_addresses(machine: Machine) -> Iterator[Finding]:
    """Each address of server.listen."""
    for text in machine.config.server.listen:
        name = f"address {text}"
        if machine.socket_activated:
            yield Finding(name, "ok", "not used: whisperd.socket holds the sockets")
        elif machine.running:
            yield Finding(name, "ok", "whisperd is serving")
        else:
            address = parse_address(text)
            found = _check_unix(address) if isinstance(address, Path) else _check_port(machine, address)
            yield Finding(name, "failure", *found) if found else Finding(name, "ok", "free")


def _check_port(machine: Machine, address: HostPort) -> tuple[str, str] | None:
    if machine.user.uid and 0 < address.port < _lowest_port(machine):
        return (
            f"port {address.port} is kept for root, and the daemon runs as {machine.user.name}",
            "Choose a port from 1024 up, or enable whisperd.socket with that port",
        )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        socket.create_server(address, family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return (
                "taken by another program",
                f"Find it with ss -ltnp 'sport = :{address.port}', or choose another port (server.listen)",
            )
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]
        return f"can't be had: {reason}", "Set server.listen to an address of this machine"
    return None


def _lowest_port(machine: Machine) -> int:
    """The first port that anybody may listen on."""
    try:
        text = (machine.root / "proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii")
    except OSError:
        return _PRIVILEGED_BELOW
    return int(text)


def _check_unix(path: Path) -> tuple[str, str] | None:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None  # not there, or left by a crash
        except OSError as error:
            return f"can't be looked at: {error.strerror}", "Set server.listen to another path"
    return "taken by another program", "Set server.listen to another path"
