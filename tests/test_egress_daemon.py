"""Going out, by a real daemon: with a private authority, and by a proxy whose password nobody is told."""

import asyncio
import contextlib
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest
from certificates import Authority, server_context
from file_server import serving_files
from proxying import proxying
from receiving import receiving
from recordings import conversation
from running import Daemon, eventually, models_installed

pytestmark = pytest.mark.engine

SMALL = {"WHISPERD_DIARIZE__ENABLED": "false", "WHISPERD_LOG__LEVEL": "debug"}
PASSWORD = "a-password-of-the-tests"


@pytest.fixture(autouse=True)
def _models() -> None:
    models_installed("tiny.en")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def transcribed(daemon: Daemon, url: str, webhook: str) -> str:
    """The text of what is at a URL."""
    sent = {"audio_url": url, "language_code": "en", "webhook_url": webhook}
    job = httpx.post(f"{daemon.url}/v1/transcriptions", json=sent).json()
    ended = httpx.get(f"{daemon.url}/v1/jobs/{job['id']}", params={"wait": "60"}, timeout=90).json()
    assert ended["status"] == "completed", ended
    return httpx.get(f"{daemon.url}/v1/transcriptions/{job['id']}.txt").text


def told(daemon: Daemon) -> str:
    """All that a daemon lets others see."""
    lines = [daemon.log(), httpx.get(f"{daemon.url}/health").text, daemon.command("config", "show").stdout]
    for process in (psutil.Process(daemon.process.pid), *daemon.children()):
        with contextlib.suppress(psutil.Error):  # a decoder has just ended
            lines.append(" ".join(process.cmdline()))
    return "\n".join(lines)


async def test_a_job_goes_out_by_the_authority_and_by_the_proxy(tmp_path: Path, authority: Authority) -> None:
    context = server_context(*authority.issue("files", names="IP:127.0.0.1,IP:93.184.215.14"))
    login = tmp_path / "login"
    login.write_text(f"ann:{PASSWORD}\n")
    async with serving_files(context) as files, receiving() as receiver, proxying() as proxy:
        files.add("talk.wav", conversation().read_bytes())
        proxy.leads("93.184.215.14:443", files.base)
        proxy.login = f"ann:{PASSWORD}"
        settings = SMALL | {
            "WHISPERD_FETCH__ALLOW": "127.0.0.0/8",
            "WHISPERD_FETCH__CA_FILE": str(authority.certificate),
            "WHISPERD_FETCH__PROXY": proxy.url,
            "WHISPERD_FETCH__PROXY_LOGIN_FILE": str(login),
            "HTTPS_PROXY": "http://127.0.0.1:9",
        }

        def both() -> str:
            with Daemon(tmp_path, settings) as daemon:
                for base in (files.base, "https://93.184.215.14"):
                    assert "New Jersey" in transcribed(daemon, f"{base}/talk.wav", receiver.url)
                for _ in eventually():
                    if len(receiver.received) == 2:
                        break
                return told(daemon)

        assert PASSWORD not in await asyncio.to_thread(both)
        assert proxy.asked == ["CONNECT 93.184.215.14:443"]


def test_authorities_that_cannot_be_used_are_told_at_the_start(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("no PEM")
    config = f"[fetch]\nca_file = '{bad}'\n"
    daemon = Daemon(tmp_path, SMALL, config)
    assert daemon.run_to_the_end() == 78
    assert f"fetch.ca_file: {bad} holds no certificates (PEM)" in daemon.log()
    checked = daemon.command("check-config")
    assert (checked.returncode, f"fetch.ca_file: {bad} holds no" in checked.stderr) == (78, True)
    doctor = daemon.command("doctor")
    assert f"fetch.ca_file: {bad} holds no certificates (PEM)" in doctor.stdout


def test_a_reload_reads_the_authorities_again(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.certificate.read_bytes())
    with Daemon(tmp_path, SMALL, f"[fetch]\nca_file = '{path}'\n") as daemon:
        assert "nothing has changed" in daemon.command("reload").stdout
        path.write_text("no PEM")
        refused = daemon.command("reload")
        assert (refused.returncode, "fetch.ca_file" in refused.stderr) == (1, True)
        path.write_bytes(Authority(tmp_path / "other").certificate.read_bytes())
        assert "in force now: fetch.ca_file" in daemon.command("reload").stdout
