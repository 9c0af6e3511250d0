"""What the daemon tells systemd (sd_notify(3)). Without NOTIFY_SOCKET nothing is sent."""

import logging
import os
import socket
import time

logger = logging.getLogger(__name__)


class Notifier:
    """One datagram socket to the service manager."""

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # A leading @ names an abstract socket.
            self._socket.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)

    def send(self, *lines: str) -> None:
        """Send one notification. The manager being gone is logged and survived."""
        if self._socket is None:
            return
        try:
            self._socket.send("\n".join(lines).encode())
        except OSError as error:
            logger.warning("systemd could not be notified: %s", error)

    def close(self) -> None:
        """Nothing more will be said."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str) -> None:
        """Jobs can run."""
        self.send("READY=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self.send(f"STATUS={text}")

    def reloading(self) -> None:
        """A reload begins; it ends with `ready`."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """The daemon is on its way out."""
        self.send("STOPPING=1", f"STATUS={status}")

    def extend(self, seconds: float) -> None:
        """Starting or stopping takes longer; allow this much from now."""
        self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def watchdog(self) -> None:
        """Still alive."""
        self.send("WATCHDOG=1")


def watchdog_interval_s(watchdog_usec: str | None, watchdog_pid: str | None) -> float | None:
    """Seconds between two signs of life, half of what systemd allows; None where it expects none."""
    if not watchdog_usec or (watchdog_pid and int(watchdog_pid) != os.getpid()):
        return None
    return int(watchdog_usec) / 2e6


def passed_sockets(listen_pid: str | None, listen_fds: str | None) -> list[socket.socket]:
    """Sockets that systemd opened for us (sd_listen_fds(3)); none when it opened none."""
    if not listen_fds or not listen_pid or int(listen_pid) != os.getpid():
        return []
    first = 3
    sockets = [socket.socket(fileno=first + offset) for offset in range(int(listen_fds))]
    for passed in sockets:
        passed.set_inheritable(False)
        passed.setblocking(False)
    return sockets
