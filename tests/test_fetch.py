"""Recordings that several requests name at the same time: one download, gone with the last of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import until
from fetching import fetch_from_here, fetched, fetching, spooled
from file_server import PRESIGNED, Answer, FileServer, serving_files

from whisperd.config.schema import Config
from whisperd.errors import FetchFailed
from whisperd.media.fetch import Fetcher

RECORDING = b"RIFF, and what else a recording has\x00\xff"
STALLING = Answer(body=RECORDING, stalls_after=10)


@pytest.fixture
async def files() -> AsyncIterator[FileServer]:
    async with serving_files() as files:
        yield files


@pytest.fixture
async def fetcher(config: Config) -> AsyncIterator[Fetcher]:
    async with fetching(fetch_from_here(config)) as fetcher:
        yield fetcher


async def asked(files: FileServer, times: int = 1) -> None:
    """Wait until so many requests have come."""
    await until(lambda: len(files.asked) >= times)


async def cancel(task: asyncio.Task[bytes]) -> None:
    """Cancel a task and see it through."""
    task.cancel()
    async with asyncio.timeout(10):  # far less than the server's silence is borne with
        await asyncio.wait([task])
    assert task.cancelled()


async def test_holders_of_the_same_url_share_one_download_and_one_file(
    fetcher: Fetcher, files: FileServer
) -> None:
    url = files.add(f"talk.wav?{PRESIGNED}", RECORDING)
    async with fetcher.recording(url) as one, fetcher.recording(url) as other:
        assert one == other
        assert one.read_bytes() == RECORDING
    assert len(files.asked) == 1


async def test_those_who_come_while_it_is_downloaded_wait_for_the_same(
    fetcher: Fetcher, files: FileServer
) -> None:
    url = files.add("talk.wav", STALLING)
    tasks = [asyncio.create_task(fetched(fetcher, url)) for _ in range(3)]
    await asked(files)
    files.go_on.set()
    assert await asyncio.gather(*tasks) == [RECORDING] * 3
    assert len(files.asked) == 1


async def test_another_query_is_another_recording(fetcher: Fetcher, files: FileServer) -> None:
    one, other = files.add("talk.wav?v=1", b"one"), files.add("talk.wav?v=2", b"two")
    async with fetcher.recording(one) as first, fetcher.recording(other) as second:
        assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")


async def test_the_file_stays_until_the_last_holder_leaves(
    config: Config, fetcher: Fetcher, files: FileServer
) -> None:
    url = files.add("talk.wav", RECORDING)
    async with fetcher.recording(url) as path:
        async with fetcher.recording(url):
            pass
        assert path.read_bytes() == RECORDING
    assert spooled(config) == []


async def test_what_lies_beside_the_recording_goes_with_it(
    config: Config, fetcher: Fetcher, files: FileServer
) -> None:
    async with fetcher.recording(files.add("talk.wav", RECORDING)) as path:
        path.with_name("recording.f32").write_bytes(b"\0" * 4)
        assert path.parent.parent == config.paths.spool
    assert spooled(config) == []


async def test_who_comes_afterwards_gets_what_is_there_then(fetcher: Fetcher, files: FileServer) -> None:
    assert await fetched(fetcher, files.add("talk.wav", RECORDING)) == RECORDING
    assert await fetched(fetcher, files.add("talk.wav", b"another")) == b"another"


@pytest.mark.parametrize("leaving", [0, 1])
async def test_a_holder_who_is_cancelled_does_not_harm_the_others(
    fetcher: Fetcher, files: FileServer, leaving: int
) -> None:
    url = files.add("talk.wav", STALLING)
    tasks = [asyncio.create_task(fetched(fetcher, url)) for _ in range(2)]
    await asked(files)
    await cancel(tasks.pop(leaving))
    files.go_on.set()
    assert await tasks[0] == RECORDING
    assert len(files.asked) == 1


async def test_when_all_leave_the_download_is_cancelled(
    config: Config, fetcher: Fetcher, files: FileServer
) -> None:
    url = files.add("talk.wav", STALLING)
    tasks = [asyncio.create_task(fetched(fetcher, url)) for _ in range(2)]
    await asked(files)
    for task in tasks:
        await cancel(task)
    assert spooled(config) == []
    await until(lambda: files.broken_off == ["/talk.wav"])


async def test_after_a_cancelled_download_there_is_another(fetcher: Fetcher, files: FileServer) -> None:
    url = files.add("talk.wav", STALLING)
    first = asyncio.create_task(fetched(fetcher, url))
    await asked(files)
    first.cancel()
    await asyncio.sleep(0)  # the first is on its way out, and not yet gone
    second = asyncio.create_task(fetched(fetcher, url))
    await asked(files, 2)
    third = asyncio.create_task(fetched(fetcher, url))
    files.go_on.set()
    assert await second == await third == RECORDING
    assert first.cancelled()
    assert len(files.asked) == 2


async def test_a_holder_who_is_cancelled_on_the_way_out_leaves_nothing_behind(
    config: Config, fetcher: Fetcher, files: FileServer
) -> None:
    task = asyncio.create_task(fetched(fetcher, files.add("talk.wav", STALLING)))
    await asked(files)
    task.cancel()
    await asyncio.sleep(0)
    await cancel(task)
    assert spooled(config) == []


async def test_a_failure_is_that_of_all_who_wait(fetcher: Fetcher, files: FileServer) -> None:
    url = files.add("talk.wav", Answer(body=RECORDING, stalls_after=10, breaks_after=12))
    tasks = [asyncio.create_task(fetched(fetcher, url)) for _ in range(3)]
    await asked(files)
    files.go_on.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [FetchFailed] * 3
    assert len(files.asked) == 1


async def test_a_failure_is_not_kept(fetcher: Fetcher, files: FileServer) -> None:
    url = files.add("talk.wav", Answer(status=500))
    with pytest.raises(FetchFailed):
        await fetched(fetcher, url)
    files.add("talk.wav", RECORDING)
    assert await fetched(fetcher, url) == RECORDING


async def test_a_failure_is_not_for_those_who_come_after_it(fetcher: Fetcher, files: FileServer) -> None:
    url = files.add("talk.wav", Answer(status=500))

    async def try_twice() -> bytes:
        try:
            return await fetched(fetcher, url)
        except FetchFailed:
            files.add("talk.wav", RECORDING)
            return await fetched(fetcher, url)  # at once, while others still hold the failed one

    assert await asyncio.gather(*(try_twice() for _ in range(3))) == [RECORDING] * 3


async def test_a_fetcher_can_be_closed_without_having_been_used(config: Config) -> None:
    async with fetching(config):
        pass


async def test_a_holders_own_failure_is_its_own(config: Config, fetcher: Fetcher, files: FileServer) -> None:
    url = files.add("talk.wav", RECORDING)

    async def fail() -> Path:
        async with fetcher.recording(url):
            raise LookupError

    async with fetcher.recording(url) as path:
        with pytest.raises(LookupError):
            await fail()
        assert path.read_bytes() == RECORDING
    assert spooled(config) == []
