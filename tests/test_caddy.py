"""Debian's Caddy in front, with an authority of its own: uploads, streams, links, and who the client is."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2 as httpx
import openai
import pytest
from recordings import conversation
from running import Daemon, eventually, freeze, models_installed

pytestmark = pytest.mark.engine

CLIENT = "127.0.0.2"
"""Where clients send from: this machine too, but another address than the proxy's."""

CADDYFILE = """\
{{
    admin off
    skip_install_trust
    auto_https disable_redirects
}}
https://localhost:{tcp} {{
    tls internal
    reverse_proxy 127.0.0.1:{daemon}
}}
https://localhost:{unix} {{
    tls internal
    reverse_proxy unix/{socket}
}}
"""


class Front(NamedTuple):
    """Caddy, and the daemon behind it."""

    daemon: Daemon
    ports: dict[str, int]
    authority: Path

    def client(self, way: str) -> httpx.Client:
        """One that trusts Caddy's authority alone."""
        trusting = ssl.create_default_context(cafile=str(self.authority))
        transport = httpx.HTTPTransport(verify=trusting, local_address=CLIENT)
        return httpx.Client(base_url=f"https://localhost:{self.ports[way]}", transport=transport, timeout=240)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    if not shutil.which("caddy"):
        pytest.skip("caddy is not installed")
    models_installed("tiny.en")
    directory = tmp_path_factory.mktemp("front")
    unix = directory / "http.sock"
    daemon = Daemon(
        directory,
        {
            "WHISPERD_DIARIZE__ENABLED": "false",
            "WHISPERD_SERVER__TRUSTED_PROXIES": "127.0.0.1/32,unix",
            "WHISPERD_WORKERS__PING_TIMEOUT": "5min",  # one worker is stopped for a while
        },
    )
    daemon.environment["WHISPERD_SERVER__LISTEN"] += f",unix:{unix}"
    ports = dict(zip(("tcp", "unix"), _free_ports(2), strict=True))
    (directory / "Caddyfile").write_text(CADDYFILE.format(**ports, daemon=daemon.port, socket=unix))
    with daemon, _caddy(directory) as authority:
        yield Front(daemon, ports, authority)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@contextlib.contextmanager
def _caddy(directory: Path) -> Iterator[Path]:
    """Caddy with the directory's configuration; the certificate of its authority."""
    homes = {name: str(directory / name.lower()) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    log = directory / "caddy.log"
    with log.open("wb") as output:
        command = ["caddy", "run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]
        process = subprocess.Popen(command, env=os.environ | homes, stdout=output, stderr=output)
    try:
        for _ in eventually():
            assert process.poll() is None, log.read_text(encoding="utf-8")
            if "serving initial configuration" in log.read_text(encoding="utf-8"):
                break
        yield directory / "xdg_data_home" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(params=["tcp", "unix"])
def way(request: pytest.FixtureRequest) -> str:
    """How Caddy reaches the daemon."""
    return str(request.param)


def test_openais_client_uploads_through_it(front: Front, way: str) -> None:
    with front.client(way) as http:
        client = openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="none", http_client=http)
        text = client.audio.transcriptions.create(file=conversation(), model="whisper-1").text
        assert "Chicago" in text
        with client.audio.transcriptions.create(
            file=conversation(), model="whisper-1", stream=True
        ) as stream:
            events = list(stream)
        assert events[-1].type == "transcript.text.done"
        assert events[-1].text == text


def test_a_stranger_does_not_trust_its_authority(front: Front, way: str) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://localhost:{front.ports[way]}/health")


def test_events_come_when_they_happen_and_not_at_the_end(front: Front, way: str) -> None:
    worker = front.daemon.worker("transcribe")
    with front.client(way) as client:
        freeze(worker)
        try:
            with conversation().open("rb") as recording:
                form = {"language_code": "auto"}
                job = client.post("/v1/transcriptions", files={"audio": recording}, data=form).json()
            with client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
                lines = stream.iter_lines()
                assert next(line for line in lines if line.startswith("data:"))  # and it can't be done yet
                worker.send_signal(signal.SIGCONT)
                assert [line for line in lines if "completed" in line]
        finally:
            worker.send_signal(signal.SIGCONT)


def test_links_lead_back_through_it(front: Front, way: str) -> None:
    with front.client(way) as client:
        with conversation().open("rb") as recording:
            reply = client.post("/transcribe", files={"audio": recording}, data={"language": "en"})
        link = reply.json()["downloads"]["text"]
        assert link.startswith(f"https://localhost:{front.ports[way]}/download/")
        assert "Chicago" in client.get(link).text


def test_the_journal_has_the_client_whatever_it_says_of_itself(front: Front, way: str) -> None:
    told = {"X-Request-Id": f"journal-{way}", "X-Forwarded-For": "192.168.7.7", "X-Real-IP": "192.168.7.7"}
    with front.client(way) as client:
        assert client.get("/v1/models", headers=told).status_code == 200
    [line] = [line for line in front.daemon.log().splitlines() if f"journal-{way}" in line]
    assert f"client={CLIENT}" in line.lower()
    assert "192.168.7.7" not in line


def test_a_header_that_caddy_passes_on_does_not_make_another_client(front: Front, way: str) -> None:
    with front.client(way) as client:
        assert client.get("/v1/models", headers={"Forwarded": "for=192.168.7.7"}).status_code == 400
