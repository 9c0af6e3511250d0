"""Going out: authorities that are trusted, and the proxy, with the guard in front of both."""

import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port
from certificates import Authority, server_context
from conftest import changed
from fake_llm import serving_llm
from fake_resolver import FakeResolver
from fetching import SECRET, failure, fetch_from_here, fetched, fetching
from file_server import FileServer, serving_files
from proxying import Proxy, proxying
from receiving import receiving

from whisperd.config.gateway import Fetch
from whisperd.config.live import Live
from whisperd.config.load import load
from whisperd.config.schema import Config
from whisperd.egress import Egress, read
from whisperd.errors import ConfigError, FetchFailed, UpstreamFailed, UrlRefused
from whisperd.llm import LanguageModels
from whisperd.media.transfer import Transfers

NAME = "files.example"
ADDRESS = "93.184.215.14"
"""A public one. Nothing connects to it: the proxy takes it for the server of the test."""
LOGIN = f"ann:{SECRET}:x"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[FileServer]:
    """A server that speaks HTTPS, with a certificate for the name and the loopback."""
    context = server_context(*authority.issue("files", names=f"DNS:{NAME},IP:127.0.0.1"))
    async with serving_files(context) as files:
        yield files


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with proxying() as proxy:
        yield proxy


@pytest.fixture
def behind(config: Config, proxy: Proxy, authority: Authority) -> Config:
    """The configuration with the proxy, and the authority."""
    return changed(config, "fetch", proxy=proxy.url, ca_file=authority.certificate)


def knowing(*answers: list[str]) -> FakeResolver:
    """A resolver for the name."""
    return FakeResolver(**{NAME: list(answers)})


def at(name: str, files: FileServer, path: str) -> str:
    """The URL of a file under another name."""
    return f"{files.base.replace('127.0.0.1', name)}/{path}"


# ---- authorities ---------------------------------------------------------------------------------


async def test_a_further_authority_is_trusted(
    config: Config, secure: FileServer, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    url = secure.add(f"talk.wav?key={SECRET}", b"recording")
    config = fetch_from_here(config)
    async with fetching(config) as fetcher:
        error = await failure(fetcher, url, FetchFailed, caplog)
        assert "certificate verify failed" in error.message
    async with fetching(changed(config, "fetch", ca_file=authority.certificate)) as fetcher:
        assert await fetched(fetcher, url) == b"recording"


async def test_the_systems_authorities_are_trusted_as_before(
    config: Config,
    secure: FileServer,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    other = Authority(tmp_path / "other").certificate
    async with fetching(fetch_from_here(config, ca_file=other)) as fetcher:
        assert await fetched(fetcher, secure.add("talk.wav", b"recording")) == b"recording"


async def test_a_language_models_server_may_have_its_certificate_from_there(
    config: Config, authority: Authority
) -> None:
    context = server_context(*authority.issue("llm"))
    async with serving_llm(context) as llm:
        for ca_file, expected in (("none", None), (authority.certificate, 200)):
            live = Live(changed(changed(config, "llm", url=llm.url), "fetch", ca_file=ca_file))
            models = LanguageModels(live, Egress(read(live.current.fetch)))
            with contextlib.nullcontext() if expected else pytest.raises(UpstreamFailed):
                async with models.ask("chat/completions", b'{"messages": []}') as answer:
                    assert answer.status == expected
            await models.aclose()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "can't read .*: No such file"),
        ("", "holds no certificates"),
        ("no PEM", "holds no certificates"),
        ("-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n", "holds no certificates"),
    ],
)
def test_a_file_without_authorities_is_a_mistake(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=rf"^fetch\.ca_file: .*{reason}"):
        read(Fetch(ca_file=path))


@pytest.mark.parametrize("text", ["", "\n", "ann\n", ":secret\n"])
def test_a_login_is_a_user_and_a_password(tmp_path: Path, text: str) -> None:
    path = tmp_path / "login"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"fetch\.proxy_login_file") as raised:
        read(Fetch(proxy="http://127.0.0.1:3128", proxy_login_file=path))
    assert "secret" not in raised.value.message


def test_a_password_in_the_url_of_a_proxy_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"fetch\.proxy_login_file") as raised:
        load(Path("/dev/null"), {"WHISPERD_FETCH__PROXY": f"http://ann:{SECRET}@proxy.lan:3128"})
    assert SECRET not in raised.value.message


def trusted(egress: Egress) -> int:
    """How many authorities are."""
    context = egress.current.trusted
    assert isinstance(context, ssl.SSLContext)
    return len(context.get_ca_certs())


def test_a_renewal_tells_whose_files_have_changed(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.certificate.read_bytes())
    fetch = Fetch(ca_file=path)
    egress = Egress(read(fetch))
    before = trusted(egress)
    assert egress.renew(read(fetch)) == []
    path.write_bytes(path.read_bytes() + Authority(tmp_path / "other").certificate.read_bytes())
    assert egress.renew(read(fetch)) == ["fetch.ca_file"]
    assert trusted(egress) == before + 1


# ---- the proxy -----------------------------------------------------------------------------------


async def test_https_is_tunnelled_to_the_address_that_was_checked(
    behind: Config, secure: FileServer, proxy: Proxy
) -> None:
    """A second lookup would lead elsewhere: there is none. The certificate is still asked for by name."""
    url = at(NAME, secure, "talk.wav?signature=a%2Fb")
    secure.add("talk.wav?signature=a%2Fb", b"recording")
    port = url.split(":")[2].split("/")[0]
    proxy.leads(f"{ADDRESS}:{port}", secure.base)
    resolver = knowing([ADDRESS], ["127.0.0.1"])
    async with fetching(behind, resolver) as fetcher:
        assert await fetched(fetcher, url) == b"recording"
    assert proxy.asked == [f"CONNECT {ADDRESS}:{port}"]
    assert resolver.asked == [NAME]
    [asked] = secure.asked
    assert (asked.path, asked.headers["Host"]) == ("/talk.wav?signature=a%2Fb", f"{NAME}:{port}")
    assert "Proxy-Authorization" not in asked.headers


async def test_a_certificate_for_another_name_is_refused_behind_it_too(
    behind: Config, proxy: Proxy, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    context = server_context(*authority.issue("other", names=f"DNS:other.example,IP:{ADDRESS}"))
    async with serving_files(context) as files, fetching(behind, knowing([ADDRESS])) as fetcher:
        url = at(NAME, files, f"talk.wav?key={SECRET}")
        proxy.leads(f"{ADDRESS}:{files.base.rpartition(':')[2]}", files.base)
        error = await failure(fetcher, url, FetchFailed, caplog)
    assert "Hostname mismatch" in error.message


async def test_plain_http_is_asked_for_by_name(behind: Config, proxy: Proxy) -> None:
    async with serving_files() as files, fetching(behind, knowing([ADDRESS, "2606:4700::1"])) as fetcher:
        files.add("talk.wav", b"recording")
        proxy.leads(f"{NAME}:80", files.base)
        assert await fetched(fetcher, f"http://{NAME}/talk.wav") == b"recording"
        assert files.asked[0].headers["Host"] == NAME
    assert proxy.asked == [f"GET http://{NAME}/talk.wav"]


async def test_an_ipv4_address_is_preferred_for_the_tunnel(
    behind: Config, secure: FileServer, proxy: Proxy
) -> None:
    secure.add("talk.wav", b"recording")
    proxy.leads(f"{ADDRESS}:443", secure.base)
    async with fetching(behind, knowing(["2606:4700:4700::1111", ADDRESS])) as fetcher:
        assert await fetched(fetcher, f"https://{NAME}/talk.wav") == b"recording"


async def test_an_ipv6_address_is_tunnelled_to_as_well(
    behind: Config, secure: FileServer, proxy: Proxy
) -> None:
    secure.add("talk.wav", b"recording")
    proxy.leads("[2606:4700:4700::1111]:443", secure.base)
    async with fetching(behind, knowing(["2606:4700:4700::1111"])) as fetcher:
        assert await fetched(fetcher, f"https://{NAME}/talk.wav") == b"recording"


async def test_a_name_that_only_the_proxy_knows_is_left_to_it(
    behind: Config, secure: FileServer, proxy: Proxy
) -> None:
    secure.add("talk.wav", b"recording")
    proxy.leads(f"{NAME}:443", secure.base)
    async with fetching(behind, FakeResolver()) as fetcher:
        assert await fetched(fetcher, f"https://{NAME}/talk.wav") == b"recording"
    assert proxy.asked == [f"CONNECT {NAME}:443"]


@pytest.mark.parametrize(
    "url",
    [
        f"https://{NAME}/{SECRET}",
        f"http://{NAME}/{SECRET}",
        f"http://127.0.0.1/{SECRET}",
        f"https://10.0.0.1/{SECRET}",
        f"http://[::1]/{SECRET}",
        f"http://127.1/{SECRET}",
    ],
)
async def test_private_addresses_are_refused_before_the_proxy_hears_of_them(
    behind: Config, proxy: Proxy, url: str
) -> None:
    async with fetching(behind, knowing(["10.0.0.1", ADDRESS])) as fetcher:
        with pytest.raises(UrlRefused):
            await fetched(fetcher, url)
    assert proxy.asked == []


async def test_the_proxy_itself_is_no_place_to_fetch_from(behind: Config, proxy: Proxy) -> None:
    async with fetching(behind) as fetcher:
        with pytest.raises(UrlRefused):
            await fetched(fetcher, f"{proxy.url}/{SECRET}")
    assert proxy.asked == []


async def test_a_redirect_is_checked_behind_the_proxy_too(
    behind: Config, secure: FileServer, proxy: Proxy
) -> None:
    secure.add_redirects("talk.wav", 1, "https://169.254.169.254/latest")
    proxy.leads(f"{ADDRESS}:443", secure.base)
    async with fetching(behind, knowing([ADDRESS])) as fetcher:
        with pytest.raises(UrlRefused):
            await fetched(fetcher, f"https://{NAME}/talk.wav")
    assert len(proxy.asked) == 1


async def test_private_addresses_that_are_allowed_need_no_proxy(
    behind: Config, secure: FileServer, proxy: Proxy
) -> None:
    url = at(NAME, secure, "talk.wav")
    secure.add("talk.wav", b"recording")
    config = changed(behind, "fetch", allow=(NAME,))
    async with fetching(config, knowing(["127.0.0.1"])) as fetcher:
        assert await fetched(fetcher, url) == b"recording"
    assert proxy.asked == []


async def test_results_are_sent_through_it(
    behind: Config, secure: FileServer, proxy: Proxy, tmp_path: Path
) -> None:
    result = tmp_path / "result"
    result.write_bytes(b"mixed")
    proxy.leads(f"{ADDRESS}:443", secure.base)
    async with fetching(behind, knowing([ADDRESS])) as fetcher:
        await fetcher.put(f"https://{NAME}/result", result)
    assert secure.received == {"/result": b"mixed"}


async def test_webhooks_are_sent_through_it(behind: Config, proxy: Proxy) -> None:
    transfers = Transfers(Live(behind), Egress(read(behind.fetch)), lambda: knowing([ADDRESS]))
    async with receiving() as receiver:
        proxy.leads(f"{NAME}:80", receiver.url)
        answer = await transfers.post(f"http://{NAME}/hook", b"{}", {"webhook-id": "1"}, timeout_s=20)
        assert answer.status == 200
        assert receiver.received[0].headers["webhook-id"] == "1"
    await transfers.aclose()


async def test_a_language_models_server_on_the_internet_is_asked_through_it(
    config: Config, proxy: Proxy
) -> None:
    async with serving_llm() as llm:
        proxy.leads("8.8.8.8:80", llm.url)
        live = Live(changed(changed(config, "llm", url="http://8.8.8.8/v1"), "fetch", proxy=proxy.url))
        models = LanguageModels(live, Egress(read(live.current.fetch)))
        async with models.ask("chat/completions", b'{"messages": []}') as answer:
            assert answer.status == 200
        live.current = changed(live.current, "llm", url=llm.url)
        assert await models.answers()
        await models.aclose()
    assert proxy.asked == ["POST http://8.8.8.8/v1/chat/completions"]


async def test_a_servers_key_goes_through_the_tunnel_and_not_to_the_proxy(
    behind: Config, proxy: Proxy, authority: Authority, tmp_path: Path
) -> None:
    proxy.login = LOGIN
    (tmp_path / "login").write_text(LOGIN)
    (tmp_path / "key").write_text("sk-upstream")
    context = server_context(*authority.issue("public", names=f"IP:{ADDRESS}"))
    config = changed(behind, "fetch", proxy_login_file=tmp_path / "login", ca_file=authority.certificate)
    config = changed(config, "llm", url=f"https://{ADDRESS}/v1", key_file=tmp_path / "key")
    async with serving_llm(context) as llm:
        proxy.leads(f"{ADDRESS}:443", llm.url)
        models = LanguageModels(Live(config), Egress(read(config.fetch)))
        async with models.ask("chat/completions", b'{"messages": []}') as answer:
            assert answer.status == 200
        await models.aclose()
        assert llm.asked[0].headers["Authorization"] == "Bearer sk-upstream"
        assert "Proxy-Authorization" not in llm.asked[0].headers
    assert "sk-upstream" not in "".join(proxy.heads)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_login_is_for_the_proxy_alone(
    behind: Config,
    secure: FileServer,
    proxy: Proxy,
    tmp_path: Path,
    scheme: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.login = LOGIN
    path = tmp_path / "login"
    path.write_text(f"{LOGIN}\n")
    async with serving_files() as plain:
        files = secure if scheme == "https" else plain
        files.add(SECRET, b"recording")
        proxy.leads(f"{ADDRESS}:443", secure.base)
        proxy.leads(f"{NAME}:80", plain.base)
        url = f"{scheme}://{NAME}/{SECRET}"
        async with fetching(behind, knowing([ADDRESS])) as fetcher:
            with pytest.raises(FetchFailed, match=r"the proxy \(`fetch.proxy`\) answered 407"):
                await fetched(fetcher, url)
        async with fetching(changed(behind, "fetch", proxy_login_file=path), knowing([ADDRESS])) as fetcher:
            assert await fetched(fetcher, url) == b"recording"
        assert "Proxy-Authorization" not in files.asked[0].headers
    assert LOGIN not in caplog.text
    means = read(replace(behind.fetch, proxy_login_file=path))
    assert means.login
    assert means.login not in repr(means)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_fails_is_told_of(
    behind: Config, proxy: Proxy, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{scheme}://{NAME}/talk.wav?key={SECRET}"
    async with fetching(behind, knowing([ADDRESS])) as fetcher:
        error = await failure(fetcher, url, FetchFailed, caplog)
        assert "answered 502" in error.message
    gone = changed(behind, "fetch", proxy=f"http://127.0.0.1:{unused_port()}")
    async with fetching(gone, knowing([ADDRESS])) as fetcher:
        error = await failure(fetcher, url, FetchFailed, caplog)
    assert error.message.endswith("the proxy (`fetch.proxy`) can't be reached")
    assert proxy.url not in error.message
