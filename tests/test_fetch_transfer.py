"""One transfer: what a server may send, how it may fail, and what callers are told of it."""

import asyncio
import errno
import logging
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from conftest import changed
from fake_resolver import FakeResolver
from fetching import SECRET, failure, fetch_from_here, fetched, fetching
from file_server import PRESIGNED, Answer, FileServer, serving_files

from whisperd.config.schema import Config
from whisperd.config.units import Duration, Size
from whisperd.errors import (
    EmptyFile,
    FetchFailed,
    RequestError,
    TooLarge,
    Unavailable,
    UrlNotFound,
    UrlRefused,
    WhisperdError,
)
from whisperd.media.fetch import Fetcher

RECORDING = b"RIFF, and what else a recording has\x00\xff"


@pytest.fixture
async def files() -> AsyncIterator[FileServer]:
    async with serving_files() as files:
        yield files


@pytest.fixture
async def fetcher(config: Config) -> AsyncIterator[Fetcher]:
    async with fetching(fetch_from_here(config)) as fetcher:
        yield fetcher


# ---- what is fetched -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["talk.wav", "no/extension", "a%2Fb.wav", "a//b"])
async def test_a_recording_is_fetched(fetcher: Fetcher, files: FileServer, name: str) -> None:
    assert await fetched(fetcher, files.add(name, RECORDING)) == RECORDING


async def test_a_presigned_url_is_asked_once_with_get_and_as_it_was_signed(
    fetcher: Fetcher, files: FileServer
) -> None:
    name = f"talk.wav?{PRESIGNED}"
    assert await fetched(fetcher, files.add(name, RECORDING)) == RECORDING
    assert [(asked.method, asked.path) for asked in files.asked] == [("GET", f"/{name}")]


async def test_a_very_long_url_is_asked(fetcher: Fetcher, files: FileServer) -> None:
    url = files.add(f"talk.wav?X={'x' * 60_000}", RECORDING)
    assert await fetched(fetcher, url) == RECORDING


async def test_the_content_type_is_not_believed(fetcher: Fetcher, files: FileServer) -> None:
    answer = Answer(body=RECORDING, headers={"Content-Type": "text/html; charset=broken"})
    assert await fetched(fetcher, files.add("talk", answer)) == RECORDING


async def test_a_body_without_a_length_is_fetched(fetcher: Fetcher, files: FileServer) -> None:
    assert await fetched(fetcher, files.add("talk", Answer(body=RECORDING, chunked=True))) == RECORDING


async def test_a_large_recording_arrives_byte_by_byte(fetcher: Fetcher, files: FileServer) -> None:
    body = os.urandom(5 * 2**20 + 1)
    assert await fetched(fetcher, files.add("talk", body)) == body


async def test_no_compression_is_asked_for_and_what_comes_with_it_is_unpacked(
    fetcher: Fetcher, files: FileServer
) -> None:
    answer = Answer(body=RECORDING * 1000, compressed=True)
    assert await fetched(fetcher, files.add("talk", answer)) == RECORDING * 1000
    assert files.asked[0].headers["Accept-Encoding"] == "identity"


async def test_the_proxy_of_the_environment_is_not_used(
    fetcher: Fetcher, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert await fetched(fetcher, files.add("talk", RECORDING)) == RECORDING


async def test_the_journal_has_the_place_and_not_the_signature(
    fetcher: Fetcher, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await fetched(fetcher, files.add(f"talk.wav?{PRESIGNED}", RECORDING))
    assert f"fetched {files.base}/talk.wav" in caplog.text
    assert SECRET not in caplog.text


# ---- redirects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(fetcher: Fetcher, files: FileServer, status: int) -> None:
    files.add(f"talk.wav?{PRESIGNED}", RECORDING)
    url = files.add_redirects("from", 2, f"/talk.wav?{PRESIGNED}", status)
    assert await fetched(fetcher, url) == RECORDING
    assert files.paths() == ["/from", "/from-2", f"/talk.wav?{PRESIGNED}"]


async def test_twenty_redirects_are_followed_and_not_one_more(
    fetcher: Fetcher, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    target = files.add(f"talk.wav?{PRESIGNED}", RECORDING)
    assert await fetched(fetcher, files.add_redirects("twenty", 20, target)) == RECORDING
    url = files.add_redirects(f"more?{PRESIGNED}", 21, target)
    assert "20 redirects" in (await failure(fetcher, url, FetchFailed, caplog)).message


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("file:///etc/passwd", UrlRefused),
        ("http://10.0.0.1/", UrlRefused),
        ("//169.254.169.254/latest/", UrlRefused),
        ("http://[::1]:1/", UrlRefused),
        ("http://2130706433/", UrlRefused),
        ("http://0x7f.2/", UrlRefused),
        ("http://[::1", FetchFailed),
        ("http://h:port/", FetchFailed),
    ],
)
async def test_a_redirect_leads_to_nothing_that_could_not_be_asked_for(
    config: Config,
    files: FileServer,
    caplog: pytest.LogCaptureFixture,
    location: str,
    expected: type[WhisperdError],
) -> None:
    url = files.add(f"from?{PRESIGNED}", Answer(status=302, headers={"Location": f"{location}?{PRESIGNED}"}))
    async with fetching(changed(config, "fetch", allow=("127.0.0.1",))) as fetcher:
        await failure(fetcher, url, expected, caplog)


@pytest.mark.parametrize("status", [300, 304, 302])
async def test_a_redirect_that_leads_nowhere_is_a_failure(
    fetcher: Fetcher, files: FileServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    url = files.add(f"from?{PRESIGNED}", Answer(status=status))
    assert str(status) in (await failure(fetcher, url, FetchFailed, caplog)).message


# ---- where it may lead ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "inside"]
)
async def test_a_private_server_is_not_even_connected_to(
    config: Config, files: FileServer, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    url = files.add(f"talk.wav?{PRESIGNED}", RECORDING).replace("127.0.0.1", host)
    resolver = FakeResolver(**{"inside": [["127.0.0.1"]], "0x7f000001": [["127.0.0.1"]]})
    async with fetching(config, resolver) as fetcher:
        error = await failure(fetcher, url, UrlRefused, caplog)
    assert error.status == 403
    assert host.strip("[]") in error.message
    assert "fetch.allow" in error.message
    assert files.asked == []


async def test_a_host_is_allowed_by_its_name(config: Config, files: FileServer) -> None:
    url = files.add("talk.wav", RECORDING).replace("127.0.0.1", "garage")
    async with fetching(
        changed(config, "fetch", allow=("garage",)), FakeResolver(garage=[["127.0.0.1"]])
    ) as fetcher:
        assert await fetched(fetcher, url) == RECORDING


async def test_a_name_that_changes_after_the_check_is_not_looked_up_again(
    config: Config, files: FileServer
) -> None:
    resolver = FakeResolver(rebinding=[["127.0.0.1"], ["127.0.0.2"]])
    url = files.add("talk.wav", RECORDING).replace("127.0.0.1", "rebinding")
    async with fetching(changed(config, "fetch", allow=("127.0.0.1",)), resolver) as fetcher:
        assert await fetched(fetcher, url) == RECORDING
    assert resolver.asked == ["rebinding"]


async def test_a_name_that_changes_before_a_redirect_is_checked_again(
    config: Config, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    resolver = FakeResolver(rebinding=[["127.0.0.1"], ["127.0.0.2"]])
    url = files.add_redirects(f"from?{PRESIGNED}", 1, "/talk.wav").replace("127.0.0.1", "rebinding")
    async with fetching(changed(config, "fetch", allow=("127.0.0.1",)), resolver) as fetcher:
        await failure(fetcher, url, UrlRefused, caplog)
    assert resolver.asked == ["rebinding", "rebinding"]


async def test_a_password_goes_to_its_own_host_only(config: Config, files: FileServer) -> None:
    files.add("talk.wav", RECORDING)
    elsewhere = files.base.replace("127.0.0.1", "elsewhere")
    url = files.add_redirects("from", 2, f"{elsewhere}/talk.wav").replace("//", "//user:pa%40ss@")
    async with fetching(fetch_from_here(config), FakeResolver(elsewhere=[["127.0.0.1"]])) as fetcher:
        assert await fetched(fetcher, url) == RECORDING
    sent = [asked.headers.get("Authorization") for asked in files.asked]
    assert sent == ["Basic dXNlcjpwYUBzcw==", None, None]


async def test_no_cookies_are_kept(config: Config, files: FileServer) -> None:
    files.add("talk.wav", RECORDING)
    headers = {"Location": "/talk.wav", "Set-Cookie": "session=1; Path=/"}
    url = files.add("from", Answer(status=302, headers=headers)).replace("127.0.0.1", "garage")
    async with fetching(fetch_from_here(config), FakeResolver(garage=[["127.0.0.1"]])) as fetcher:
        assert await fetched(fetcher, url) == RECORDING
    assert "Cookie" not in files.asked[1].headers


# ---- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected", "told"),
    [
        (400, RequestError, 400),
        (401, UrlRefused, 403),
        (403, UrlRefused, 403),
        (404, UrlNotFound, 404),
        (405, RequestError, 400),
        (408, FetchFailed, 424),
        (410, UrlNotFound, 404),
        (416, RequestError, 400),
        (429, FetchFailed, 424),
        (500, FetchFailed, 424),
        (503, FetchFailed, 424),
    ],
)
async def test_an_answer_without_success_is_told_by_its_kind(
    fetcher: Fetcher,
    files: FileServer,
    caplog: pytest.LogCaptureFixture,
    status: int,
    expected: type[WhisperdError],
    told: int,
) -> None:
    url = files.add(f"talk.wav?{PRESIGNED}", Answer(status=status, body=b"<Error>no</Error>"))
    error = await failure(fetcher, url, expected, caplog)
    assert error.status == told
    assert f"{files.base}/talk.wav" in error.message


async def test_what_is_not_there_is_told_as_clients_expect(
    fetcher: Fetcher, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    error = await failure(fetcher, f"{files.base}/talk.wav?{PRESIGNED}", UrlNotFound, caplog)
    assert error.message == f"Audio file not found: {files.base}/talk.wav"


async def test_an_expired_signature_is_thought_of(
    fetcher: Fetcher, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = files.add(f"talk.wav?{PRESIGNED}", Answer(status=403))
    assert "expired" in (await failure(fetcher, url, UrlRefused, caplog)).message


async def test_a_host_that_is_not_found_is_a_failure(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    async with fetching(config, FakeResolver()) as fetcher:
        error = await failure(fetcher, f"http://nowhere.example/x?{PRESIGNED}", FetchFailed, caplog)
    assert error.status == 424
    assert error.message == "http://nowhere.example/x: its host was not found"


async def test_a_connection_that_nobody_takes_is_a_failure(
    fetcher: Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{unused_port()}/x?{PRESIGNED}"
    assert "Connection refused" in (await failure(fetcher, url, FetchFailed, caplog)).message


async def test_a_server_without_tls_is_a_failure_of_https(
    fetcher: Fetcher, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = files.add(f"talk.wav?{PRESIGNED}", RECORDING).replace("http:", "https:")
    assert "no encrypted connection" in (await failure(fetcher, url, FetchFailed, caplog)).message


async def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    fetcher: Fetcher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "certificate.pem"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    server = TestServer(web.Application())
    await server.start_server(ssl=context)
    try:
        url = f"https://127.0.0.1:{server.port}/x?{PRESIGNED}"
        assert "self-signed" in (await failure(fetcher, url, FetchFailed, caplog)).message
    finally:
        await server.close()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=RECORDING, breaks_after=0),
        Answer(body=RECORDING, breaks_after=10),
        Answer(body=RECORDING, breaks_after=10, chunked=True),
        Answer(body=RECORDING * 1000, breaks_after=30, compressed=True),
    ],
)
async def test_a_body_that_breaks_off_is_a_failure(
    fetcher: Fetcher, files: FileServer, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    url = files.add(f"talk.wav?{PRESIGNED}", answer)
    assert "broke off" in (await failure(fetcher, url, FetchFailed, caplog)).message


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 9\r\n\r\nno brotli",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ntoo short",
    ],
)
async def test_what_is_not_http_is_a_failure(
    fetcher: Fetcher, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await failure(fetcher, f"http://127.0.0.1:{port}/x?{PRESIGNED}", FetchFailed, caplog)


@pytest.mark.parametrize(
    "answer", [Answer(), Answer(chunked=True), Answer(compressed=True), Answer(status=204)]
)
async def test_an_empty_file_is_told(
    fetcher: Fetcher, files: FileServer, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    await failure(fetcher, files.add(f"talk.wav?{PRESIGNED}", answer), EmptyFile, caplog)


async def test_a_full_disk_is_a_passing_trouble_of_ours(
    fetcher: Fetcher,
    files: FileServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = files.add(f"talk.wav?{PRESIGNED}", RECORDING)
    monkeypatch.setattr(Path, "open", lambda _path, _mode: open("/dev/full", "wb"))  # noqa: PTH123, SIM115
    error = await failure(fetcher, url, Unavailable, caplog)
    assert error.retry_after_s == 60


async def test_a_broken_disk_is_a_failure_of_the_server(
    fetcher: Fetcher, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path, _mode: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    url = files.add("talk.wav", RECORDING)
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match="Input/output error"):
        await fetched(fetcher, url)


# ---- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"x" * 1025),
        Answer(body=b"x" * 1025, chunked=True),
        Answer(body=b"x" * 100_000, compressed=True),
        Answer(body=b"x" * 50_000_000, compressed=True),
    ],
)
async def test_more_than_the_limit_is_refused(
    config: Config, files: FileServer, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    config = changed(fetch_from_here(config), "limits", upload=Size("1KiB"))
    url = files.add(f"talk.wav?{PRESIGNED}", answer)
    async with fetching(config) as fetcher:
        assert "1KiB" in (await failure(fetcher, url, TooLarge, caplog)).message


async def test_a_length_beyond_the_limit_is_refused_before_the_body(
    config: Config, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    config = changed(fetch_from_here(config), "limits", upload=Size("1KiB"))
    url = files.add(f"talk.wav?{PRESIGNED}", Answer(body=b"x" * 2000, stalls_after=0))
    async with fetching(config) as fetcher:
        await failure(fetcher, url, TooLarge, caplog)


async def test_as_much_as_the_limit_is_taken(config: Config, files: FileServer) -> None:
    config = changed(fetch_from_here(config), "limits", upload=Size("1KiB"))
    async with fetching(config) as fetcher:
        assert len(await fetched(fetcher, files.add("talk", b"x" * 1024))) == 1024


async def test_a_body_that_stops_coming_is_given_up(
    config: Config, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = files.add(f"talk.wav?{PRESIGNED}", Answer(body=RECORDING, stalls_after=10))
    async with fetching(fetch_from_here(config, idle=Duration("200ms"))) as fetcher:
        assert "stood still for 200ms" in (await failure(fetcher, url, FetchFailed, caplog)).message


async def test_an_answer_that_does_not_come_is_given_up(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    connections = []

    def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    async with (
        await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server,
        fetching(fetch_from_here(config, idle=Duration("200ms"))) as fetcher,
    ):
        port = server.sockets[0].getsockname()[1]
        await failure(fetcher, f"http://127.0.0.1:{port}/x?{PRESIGNED}", FetchFailed, caplog)
    for connection in connections:
        connection.close()
    assert connections


async def test_a_body_that_comes_slowly_is_not_given_up(config: Config, files: FileServer) -> None:
    url = files.add("talk.wav", Answer(body=RECORDING, pause_s=0.25))
    async with fetching(fetch_from_here(config, idle=Duration("1s"))) as fetcher:
        assert await fetched(fetcher, url) == RECORDING


async def test_each_redirect_may_take_its_time(config: Config, files: FileServer) -> None:
    for hop in range(5):
        files.add(str(hop), Answer(status=302, headers={"Location": str(hop + 1)}, late_s=0.25))
    files.add("5", RECORDING)
    async with fetching(fetch_from_here(config, idle=Duration("1s"))) as fetcher:
        assert await fetched(fetcher, f"{files.base}/0") == RECORDING


async def test_a_transfer_as_a_whole_has_its_time(
    config: Config, files: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = files.add(f"talk.wav?{PRESIGNED}", Answer(body=RECORDING, pause_s=0.25))
    async with fetching(fetch_from_here(config, timeout=Duration("600ms"))) as fetcher:
        assert "not done after 600ms" in (await failure(fetcher, url, FetchFailed, caplog)).message
