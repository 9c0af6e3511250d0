"""Fetchers for tests, and what failures must not tell."""

import contextlib
import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp.abc import AbstractResolver
from conftest import changed

from whisperd.config.live import Live
from whisperd.config.schema import Config
from whisperd.egress import Egress, read
from whisperd.errors import WhisperdError
from whisperd.media.fetch import Fetcher
from whisperd.media.resolver import Resolver
from whisperd.media.spool import Spool

Error = TypeVar("Error", bound=WhisperdError)

SECRET = "5ec4e7"
"""What no message, no traceback and no log may hold."""


def fetch_from_here(config: Config, *more: str, **options: object) -> Config:
    """The configuration with the loopback's network, and more, allowed."""
    return changed(config, "fetch", allow=("127.0.0.0/8", *more), **options)


@contextlib.asynccontextmanager
async def fetching(config: Config, resolver: AbstractResolver | None = None) -> AsyncIterator[Fetcher]:
    """A fetcher with a spool of its own, which must be empty in the end."""
    spool = Spool(config.paths.spool)
    spool.sweep()
    egress = Egress(read(config.fetch))
    fetcher = Fetcher(Live(config), spool, egress, resolver=(lambda: resolver) if resolver else Resolver)
    try:
        yield fetcher
    finally:
        await fetcher.aclose()
    assert spooled(config) == []


def spooled(config: Config) -> list[Path]:
    """What is in the spool."""
    return list(config.paths.spool.iterdir())


async def fetched(fetcher: Fetcher, url: str) -> bytes:
    """What the fetcher finds at a URL."""
    async with fetcher.recording(url) as path:
        return path.read_bytes()


async def failure(
    fetcher: Fetcher,
    url: str,
    expected: type[Error],
    caplog: pytest.LogCaptureFixture,
    put: Path | None = None,
) -> Error:
    """The error, of exactly that class, that a URL ends in. Checks that nobody is told the URL's secret."""
    assert SECRET in url
    caplog.set_level(logging.DEBUG)
    with pytest.raises(expected) as raised:
        await (fetcher.put(url, put) if put else fetched(fetcher, url))
    assert type(raised.value) is expected
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert SECRET not in caplog.text
    return raised.value
