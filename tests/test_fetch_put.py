"""Results that are PUT to a URL."""

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port
from conftest import changed
from fake_resolver import FakeResolver
from fetching import SECRET, failure, fetch_from_here, fetching
from file_server import PRESIGNED, Answer, FileServer, serving_files

from whisperd.config.schema import Config
from whisperd.config.units import Duration
from whisperd.errors import FetchFailed, RequestError, UrlNotFound, UrlRefused, WhisperdError
from whisperd.media.fetch import Fetcher

RESULT = os.urandom(600_000)


@pytest.fixture
async def files() -> AsyncIterator[FileServer]:
    async with serving_files() as files:
        yield files


@pytest.fixture
async def fetcher(config: Config) -> AsyncIterator[Fetcher]:
    async with fetching(fetch_from_here(config)) as fetcher:
        yield fetcher


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "result.webm"
    path.write_bytes(RESULT)
    return path


async def test_a_result_is_put_as_it_is(fetcher: Fetcher, files: FileServer, result: Path) -> None:
    await fetcher.put(f"{files.base}/padded.webm?{PRESIGNED}", result)
    assert files.received == {"/padded.webm": RESULT}
    (asked,) = files.asked
    assert (asked.method, asked.path) == ("PUT", f"/padded.webm?{PRESIGNED}")


async def test_it_comes_with_its_length_and_without_a_type(
    fetcher: Fetcher, files: FileServer, result: Path
) -> None:
    await fetcher.put(f"{files.base}/padded.webm", result)
    headers = files.asked[0].headers
    assert headers["Content-Length"] == str(len(RESULT))
    assert "Content-Type" not in headers
    assert "Transfer-Encoding" not in headers
    assert "Expect" not in headers


async def test_an_empty_result_can_be_put(fetcher: Fetcher, files: FileServer, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    await fetcher.put(f"{files.base}/empty", empty)
    assert files.received == {"/empty": b""}
    assert files.asked[0].headers["Content-Length"] == "0"


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_any_answer_of_success_will_do(
    fetcher: Fetcher, files: FileServer, result: Path, status: int
) -> None:
    await fetcher.put(files.add("padded.webm", Answer(status=status)), result)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_followed_with_the_whole_body(
    fetcher: Fetcher, files: FileServer, result: Path, status: int
) -> None:
    url = files.add_redirects("from", 2, f"/to?{PRESIGNED}", status)
    await fetcher.put(url, result)
    assert files.paths("PUT") == ["/from", "/from-2", f"/to?{PRESIGNED}"]
    assert files.received["/to"] == RESULT


async def test_a_redirect_before_the_body_was_read_is_followed_with_the_whole_body(
    fetcher: Fetcher, files: FileServer, tmp_path: Path
) -> None:
    body = os.urandom(20 * 2**20)
    large = tmp_path / "large"
    large.write_bytes(body)
    url = files.add("from", Answer(status=307, headers={"Location": "/to"}, reads=False))
    await fetcher.put(url, large)
    assert files.received == {"/to": body}


async def test_to_see_elsewhere_is_no_success(
    fetcher: Fetcher, files: FileServer, result: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = files.add_redirects(f"from?{PRESIGNED}", 1, "/to", 303)
    assert "303" in (await failure(fetcher, url, FetchFailed, caplog, put=result)).message
    assert "/to" not in files.received


async def test_a_private_host_is_not_even_connected_to(
    config: Config, files: FileServer, result: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{files.base}/padded.webm?{PRESIGNED}"
    async with fetching(config, FakeResolver(inside=[["127.0.0.1"]])) as fetcher:
        for target in (url, url.replace("127.0.0.1", "inside")):
            await failure(fetcher, target, UrlRefused, caplog, put=result)
    assert files.asked == []


async def test_a_redirect_to_a_private_host_is_refused(
    config: Config, files: FileServer, result: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = files.add_redirects(f"from?{PRESIGNED}", 1, files.base.replace("127.0.0.1", "127.0.0.2"))
    async with fetching(changed(config, "fetch", allow=("127.0.0.1",))) as fetcher:
        await failure(fetcher, url, UrlRefused, caplog, put=result)


@pytest.mark.parametrize(
    ("status", "expected", "told"),
    [
        (400, RequestError, 400),
        (403, UrlRefused, 403),
        (404, UrlNotFound, 404),
        (411, RequestError, 400),
        (429, FetchFailed, 424),
        (503, FetchFailed, 424),
    ],
)
async def test_an_answer_without_success_is_told_by_its_kind(
    fetcher: Fetcher,
    files: FileServer,
    result: Path,
    caplog: pytest.LogCaptureFixture,
    status: int,
    expected: type[WhisperdError],
    told: int,
) -> None:
    url = files.add(f"padded.webm?{PRESIGNED}", Answer(status=status))
    error = await failure(fetcher, url, expected, caplog, put=result)
    assert error.status == told
    assert f"{files.base}/padded.webm" in error.message
    assert str(status) in error.message


async def test_a_connection_that_nobody_takes_is_a_failure(
    fetcher: Fetcher, result: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{unused_port()}/x?{PRESIGNED}"
    assert "refused" in (await failure(fetcher, url, FetchFailed, caplog, put=result)).message


async def test_a_server_that_breaks_off_is_a_failure(
    fetcher: Fetcher, files: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(20 * 2**20))
    url = files.add(f"padded.webm?{PRESIGNED}", Answer(reads=False, hangs_up=True))
    files.go_on.set()
    assert "broke off" in (await failure(fetcher, url, FetchFailed, caplog, put=large)).message


async def test_a_server_that_takes_nothing_more_is_given_up(
    config: Config, files: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(20 * 2**20))
    url = files.add(f"padded.webm?{PRESIGNED}", Answer(reads=False, hangs_up=True))
    async with fetching(fetch_from_here(config, idle=Duration("300ms"))) as fetcher:
        assert "stood still" in (await failure(fetcher, url, FetchFailed, caplog, put=large)).message


async def test_a_server_that_takes_it_slowly_is_not_given_up(
    config: Config, files: FileServer, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(48 * 2**20))
    files.body_pause_s = 0.02
    async with fetching(fetch_from_here(config, idle=Duration("1s"))) as fetcher:
        await fetcher.put(f"{files.base}/large", large)
    assert files.taken_s > 1


async def test_the_journal_has_the_place_and_not_the_signature(
    fetcher: Fetcher, files: FileServer, result: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await fetcher.put(f"{files.base}/padded.webm?{PRESIGNED}", result)
    assert f"sent to {files.base}/padded.webm" in caplog.text
    assert SECRET not in caplog.text
