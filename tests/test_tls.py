"""Certificates: which are taken, what is said of the others, and how one takes the place of another."""

import asyncio
import contextlib
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web
from certificates import Authority, with_passphrase

from whisperd import tls
from whisperd.__main__ import main
from whisperd.config.schema import Server
from whisperd.errors import ConfigError


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server")


def server(certificate: Path, key: Path) -> Server:
    return Server(tls_certificate=certificate, tls_key=key)


def certificate_of(certificate: Path, key: Path) -> tls.Certificate:
    found = tls.read(server(certificate, key))
    assert found
    return found


def refusal(certificate: Path, key: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        tls.read(server(certificate, key))
    return raised.value.message


# ---- files ---------------------------------------------------------------------------------------


def test_without_a_certificate_there_is_no_tls() -> None:
    assert tls.read(Server()) is None


def test_a_pair_is_taken_and_says_for_whom_and_until_when(pair: tuple[Path, Path]) -> None:
    found = certificate_of(*pair)
    assert found.names == ("localhost", "127.0.0.1")
    left = found.expires_at - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=89) < left <= datetime.timedelta(days=90)
    assert str(found).startswith("for localhost, 127.0.0.1 until 20")
    assert not found.ends_soon()


@pytest.mark.parametrize("days", [-1, 13])
def test_one_that_has_ended_or_soon_will_can_still_be_read(authority: Authority, days: int) -> None:
    left = datetime.timedelta(days=days)
    found = certificate_of(*authority.issue(f"left{days}", expires_in=left))
    assert found.ends_soon()
    assert (found.expires_at > datetime.datetime.now(datetime.UTC)) == (days > 0)


def test_the_key_of_another_certificate_is_refused(authority: Authority, pair: tuple[Path, Path]) -> None:
    _, other = authority.issue("other")
    assert refusal(pair[0], other) == (
        f"server.tls_key: {other} is not the key of the first certificate in server.tls_certificate"
    )


def test_files_that_hold_something_else_are_named(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    assert refusal(key, key) == f"server.tls_certificate: {key} holds no certificate (PEM)"
    assert refusal(certificate, certificate) == f"server.tls_key: {certificate} holds no private key (PEM)"


def test_a_file_that_is_not_there_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    told = f"can't read {missing}: No such file or directory"
    assert refusal(missing, pair[1]) == f"server.tls_certificate: {told}"
    assert refusal(pair[0], missing) == f"server.tls_key: {told}"


def test_a_passphrase_is_asked_of_nobody(pair: tuple[Path, Path]) -> None:
    assert "has a passphrase" in refusal(pair[0], with_passphrase(pair[1]))


def test_a_certificate_for_clients_is_refused(authority: Authority) -> None:
    certificate, key = authority.issue("client", usage="clientAuth")
    assert refusal(certificate, key).startswith(f"server.tls_certificate: {certificate} can't be a server's")


def test_credentials_are_read_where_systemd_puts_them(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = (Path("credential:server.pem"), Path("credential:server.key"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "LoadCredential=server.pem:" in refusal(*named)
    for file in pair:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert certificate_of(*named).names == ("localhost", "127.0.0.1")


# ---- check-config --------------------------------------------------------------------------------


def configured(directory: Path, certificate: Path | str, key: Path | str) -> str:
    """A configuration with TLS."""
    path = directory / "whisperd.toml"
    path.write_text(f'[server]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n', encoding="utf-8")
    return str(path)


def test_check_config_shows_the_certificate(
    tmp_path: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", configured(tmp_path, *pair), "check-config"]) == 0
    assert "server.tls_certificate is for localhost, 127.0.0.1 until" in capsys.readouterr().out


def test_check_config_tells_files_that_do_not_go_together(
    tmp_path: Path, authority: Authority, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, other = authority.issue("other")
    assert main(["--config", configured(tmp_path, pair[0], other), "check-config"]) == 78
    assert "server.tls_key" in capsys.readouterr().err


def test_check_config_does_not_fail_over_credentials_that_it_cannot_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert main(["--config", configured(tmp_path, "credential:crt", "credential:key"), "check-config"]) == 0
    assert "a credential, which the service alone can look at" in capsys.readouterr().out


# ---- connections ---------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(secured: tls.Tls) -> AsyncIterator[int]:
    """A port where the answer is the scheme."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.scheme)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener, ssl_context=secured.context).start()
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


async def shown(port: int, authority: Authority, name: str | None = "localhost") -> bytes:
    """The certificate that a new connection is given; without a name the client sends none."""
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert isinstance(der, bytes)
    writer.close()
    await writer.wait_closed()
    return der


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_new_certificate_is_for_new_connections_and_the_old_ones_stay(
    authority: Authority, pair: tuple[Path, Path], name: str
) -> None:
    old = certificate_of(*pair)
    new = certificate_of(*authority.issue("renewed"))
    secured = tls.Tls(old)
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    async with (
        serving(secured) as port,
        ClientSession(connector=TCPConnector(ssl=trusting, limit=1)) as session,
    ):
        url = f"https://{name}:{port}/"
        async with session.get(url) as response:
            assert await response.text() == "https"
        assert await shown(port, authority, name) == old.der
        assert secured.renew(new)
        assert await shown(port, authority, name) == new.der
        async with session.get(url) as response:  # on the connection that was open before
            assert await response.text() == "https"
        assert not secured.renew(new)


def test_older_protocols_than_tls_1_2_are_refused(pair: tuple[Path, Path]) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = old.wrap_bio(to_client, to_server)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    context = tls.Tls(certificate_of(*pair)).context
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        context.wrap_bio(to_server, to_client, server_side=True).do_handshake()
