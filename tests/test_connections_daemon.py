"""Clients that send nothing, against a real daemon with few descriptors."""

import contextlib
import socket
import sys
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest
from recordings import conversation
from running import Daemon, eventually, models_installed

pytestmark = pytest.mark.engine

DESCRIPTORS = 256


class Poor(Daemon):
    """A daemon that may have few descriptors."""

    program = ("prlimit", f"--nofile={DESCRIPTORS}", sys.executable, "-m", "whisperd")

    def clients(self) -> int:
        """Connections that are open."""
        connections = psutil.Process(self.process.pid).net_connections("tcp")
        return sum(one.status == psutil.CONN_ESTABLISHED for one in connections)


@pytest.fixture(autouse=True)
def _models() -> None:
    models_installed("tiny.en")


def test_silent_connections_take_neither_descriptors_nor_anybodys_place(tmp_path: Path) -> None:
    settings = {"WHISPERD_DIARIZE__ENABLED": "false", "WHISPERD_LIMITS__HEAD": "5s"}
    with Poor(tmp_path, settings) as daemon, contextlib.ExitStack() as opened:
        address = ("127.0.0.1", daemon.port)
        for number in range(2 * DESCRIPTORS):
            silent = opened.enter_context(socket.create_connection(address))
            if number % 2:
                silent.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        assert httpx.get(f"{daemon.url}/health/ready").status_code == 200
        assert daemon.transcribe(conversation()).status_code == 200
        assert psutil.Process(daemon.process.pid).num_fds() < DESCRIPTORS
        for _ in eventually():
            if daemon.clients() == 0:
                break
        assert httpx.get(f"{daemon.url}/health/ready").status_code == 200
        log = daemon.log()
        assert log.count("connections are open, and more wait") == 1
        assert "Too many open files" not in log
        assert "Traceback" not in log
