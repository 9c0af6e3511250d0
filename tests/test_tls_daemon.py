"""HTTPS by the daemon itself: clients that trust one authority alone, and a certificate that is renewed."""

import datetime
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2 as httpx
import openai
import psutil
import pytest
from certificates import Authority
from recordings import conversation
from running import Daemon, models_installed

from whisperd.config.schema import Server
from whisperd.tls import Certificate, read

pytestmark = pytest.mark.engine

SECRETS = {
    "static": "a-static-key-of-the-tests",
    "llm": "an-llm-key-of-the-tests",
    "hooks": "a-webhook-secret-of-the-tests",
}


class Secured(NamedTuple):
    """A daemon that speaks HTTPS, with its certificate and key among the credentials of its unit."""

    daemon: Daemon
    authority: Authority
    credentials: Path

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.certificate))

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {SECRETS['static']}"}
        return httpx.Client(base_url=self.daemon.url, verify=self.trusting, headers=headers, timeout=240)

    def put(self, certificate: Path, key: Path) -> Certificate:
        """Have these in the place of what there is."""
        (self.credentials / "tls.pem").write_bytes(certificate.read_bytes())
        (self.credentials / "tls.key").write_bytes(key.read_bytes())
        found = read(Server(tls_certificate=certificate, tls_key=key))
        assert found
        return found

    def shown(self) -> bytes:
        """The certificate that a new connection is given."""
        pem = ssl.get_server_certificate(("127.0.0.1", self.daemon.port))
        return ssl.PEM_cert_to_DER_cert(pem)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    models_installed("tiny.en")
    directory = tmp_path_factory.mktemp("secured")
    authority = Authority(directory / "authority")
    credentials = directory / "credentials"
    credentials.mkdir()
    for name, secret in SECRETS.items():
        (credentials / name).write_text(f"{secret}\n", encoding="utf-8")
    settings = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "SSL_CERT_FILE": str(authority.certificate),
        "WHISPERD_DIARIZE__ENABLED": "false",
        "WHISPERD_LOG__LEVEL": "debug",
        "WHISPERD_SERVER__TLS_CERTIFICATE": "credential:tls.pem",
        "WHISPERD_SERVER__TLS_KEY": "credential:tls.key",
        "WHISPERD_ACCESS__STATIC_KEY_FILE": "credential:static",
        "WHISPERD_LLM__URL": "http://127.0.0.1:9/v1",
        "WHISPERD_LLM__KEY_FILE": "credential:llm",
        "WHISPERD_WEBHOOKS__SECRET_FILE": "credential:hooks",
    }
    daemon = Daemon(directory, settings)
    daemon.url = f"https://localhost:{daemon.port}"
    made = Secured(daemon, authority, credentials)
    made.put(*authority.issue("first"))
    with daemon:
        yield made


def test_openais_client_gets_the_text_if_it_trusts_the_authority(secured: Secured) -> None:
    with openai.OpenAI(
        base_url=f"{secured.daemon.url}/v1",
        api_key=SECRETS["static"],
        http_client=openai.DefaultHttpxClient(verify=secured.trusting),
    ) as client:
        reply = client.audio.transcriptions.create(file=conversation(), model="whisper-1")
    assert "Chicago" in reply.text


def test_a_client_that_does_not_trust_it_goes_away(secured: Secured) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{secured.daemon.url}/health")


def test_there_is_no_way_around_tls(secured: Secured) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{secured.daemon.port}/health")


def test_the_command_line_trusts_what_the_system_does(secured: Secured) -> None:
    secured.daemon.environment["WHISPERD_KEY"] = SECRETS["static"]
    done = secured.daemon.command("transcribe", str(conversation()))
    assert done.returncode == 0, done.stderr
    assert "Chicago" in done.stdout


def test_a_renewed_certificate_is_taken_at_sighup_and_open_connections_stay(secured: Secured) -> None:
    new = secured.put(*secured.authority.issue("second", expires_in=datetime.timedelta(days=30)))
    assert secured.shown() != new.der
    with secured.client() as client:
        assert client.get("/health/live").status_code == 200
        said = len(secured.daemon.notifications)
        secured.daemon.process.send_signal(signal.SIGHUP)
        secured.daemon.wait_for_notification("STATUS=Reloaded", after=said)
        assert secured.shown() == new.der
        before = _connections(secured.daemon)
        assert client.get("/health/live").status_code == 200
        assert _connections(secured.daemon) <= before  # it went over the connection of before
        metrics = client.get("/metrics").text
    [line] = [line for line in metrics.splitlines() if line.startswith("whisperd_certificate_expiry")]
    assert 29 * 86_400 < float(line.split()[-1]) - time.time() <= 30 * 86_400


def test_a_reload_with_the_wrong_key_is_refused_with_the_reason_and_the_old_pair_stays(
    secured: Secured,
) -> None:
    old = secured.shown()
    certificate, key = secured.authority.issue("third")
    _, wrong = secured.authority.issue("wrong")
    secured.put(certificate, key)
    (secured.credentials / "tls.key").write_bytes(wrong.read_bytes())
    done = secured.daemon.command("reload")
    assert done.returncode == 1
    assert "server.tls_key: credential:tls.key is not the key" in done.stderr
    assert secured.shown() == old
    (secured.credentials / "tls.key").write_bytes(key.read_bytes())
    done = secured.daemon.command("reload")
    assert (done.returncode, done.stdout) == (0, "in force now: server.tls_certificate\n")
    assert secured.shown() != old
    assert secured.daemon.command("reload").stdout == "nothing has changed\n"


def test_secrets_are_in_no_process_list_journal_or_answer(secured: Secured) -> None:
    with secured.client() as client:
        client.get("/v1/models", headers={"Authorization": f"Bearer {SECRETS['static']}x"})
        told = [client.get(path).text for path in ("/health", "/metrics", "/openapi.json", "/v1/models")]
    processes = [psutil.Process(secured.daemon.process.pid), *secured.daemon.children()]
    told += [" ".join(process.cmdline()) for process in processes]
    told += [str(process.environ()) for process in processes]
    told += [secured.daemon.log(), secured.daemon.command("config", "show").stdout]
    told += secured.daemon.notifications
    key = (secured.credentials / "tls.key").read_text(encoding="ascii").splitlines()[1]
    for secret in (*SECRETS.values(), key):
        assert not [text for text in told if secret in text]


def _connections(daemon: Daemon) -> set[tuple[str, int]]:
    """Where open connections to the daemon come from."""
    found = psutil.Process(daemon.process.pid).net_connections("tcp")
    return {(one.raddr.ip, one.raddr.port) for one in found if one.raddr and one.laddr.port == daemon.port}
