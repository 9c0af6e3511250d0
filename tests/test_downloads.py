"""Texts that are kept for a while: for whom, for how long, and how many."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import changed, until

from whisperd.config.live import Live
from whisperd.config.units import Duration
from whisperd.media import downloads as module
from whisperd.media.downloads import Downloads
from whisperd.media.spool import Spool


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def downloads(live: Live, clock: Clock) -> Downloads:
    spool = Spool(live.current.paths.spool)
    spool.sweep()
    live.current = changed(live.current, "api", keep_downloads=Duration("60s"))
    return Downloads(spool, live, clock=clock)


def spooled(live: Live) -> list[Path]:
    return list(live.current.paths.spool.iterdir())


async def test_a_text_is_found_by_its_name(downloads: Downloads) -> None:
    names = await downloads.keep("talk", {".txt": "Hello.\n", ".md": "# é"}, "me")
    assert set(names) == {".txt", ".md"}
    for suffix, text in {".txt": "Hello.\n", ".md": "# é"}.items():
        assert names[suffix].endswith(suffix)
        assert "talk" in names[suffix]
        path = downloads.find(names[suffix], "me")
        assert path
        assert path.read_text(encoding="utf-8") == text


async def test_another_caller_does_not_find_it(downloads: Downloads) -> None:
    names = await downloads.keep("talk", {".txt": ""}, "me")
    assert downloads.find(names[".txt"], "you") is None


@pytest.mark.parametrize(
    "name", ["", ".", "x.txt", "../upload", "/etc/passwd", "{}.exe", "{}", "{}.txt/../x"]
)
async def test_other_names_find_nothing(downloads: Downloads, name: str) -> None:
    names = await downloads.keep("talk", {".txt": ""}, "me")
    assert downloads.find(name.replace("{}", names[".txt"].removesuffix(".txt")), "me") is None


async def test_the_same_recording_in_the_same_second_has_another_name(downloads: Downloads) -> None:
    first, second = [await downloads.keep("talk", {".txt": ""}, "me") for _ in range(2)]
    assert first != second
    assert len(first[".txt"].split("_")[-1]) >= 32


@pytest.mark.parametrize(
    ("stem", "there"),
    [("../../etc/passwd", "etc_passwd"), ("", "audio"), ("é", "audio"), ("x" * 500, "x" * 60)],
)
async def test_a_name_holds_only_harmless_characters(downloads: Downloads, stem: str, there: str) -> None:
    [name] = (await downloads.keep(stem, {".txt": ""}, "me")).values()
    assert f"_{there}_" in name
    assert name.isascii()
    assert not set(name) & set('/\\ "%')


async def test_it_expires(downloads: Downloads, clock: Clock, live: Live) -> None:
    names = await downloads.keep("talk", {".txt": ""}, "me")
    clock.now += 59
    downloads.sweep()
    assert downloads.find(names[".txt"], "me")
    clock.now += 1
    assert downloads.find(names[".txt"], "me") is None
    downloads.sweep()
    assert spooled(live) == []


async def test_the_oldest_go_when_there_are_too_many(
    downloads: Downloads, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_KEPT", 2)
    names = [(await downloads.keep("talk", {".txt": ""}, "me"))[".txt"] for _ in range(3)]
    assert [downloads.find(name, "me") is not None for name in names] == [False, True, True]
    assert len(spooled(live)) == 2


async def test_expired_texts_are_removed_without_being_asked_for(
    downloads: Downloads, live: Live, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROUND_S", 0.01)
    async with downloads.tended():
        await downloads.keep("talk", {".txt": ""}, "me")
        clock.now += 60
        await until(lambda: spooled(live) == [])


async def test_nothing_is_left_at_the_end(downloads: Downloads, live: Live) -> None:
    async with downloads.tended():
        await downloads.keep("talk", {".txt": ""}, "me")
        assert len(spooled(live)) == 1
    assert spooled(live) == []


async def test_a_text_that_can_not_be_written_leaves_nothing(
    downloads: Downloads, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.asynccontextmanager
    async def full(_: Path) -> AsyncIterator[None]:
        raise OSError("full")
        yield

    monkeypatch.setattr(module, "storing", full)
    with pytest.raises(OSError, match="full"):
        await downloads.keep("talk", {".txt": ""}, "me")
    assert spooled(live) == []
