"""Looking up names: all addresses of one, and nothing else waits for it."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from whisperd.media.resolver import Resolver

MANY = 64
"""More than there are threads."""


async def test_an_address_is_its_own_name() -> None:
    resolver = Resolver()
    found = await resolver.resolve("127.0.0.1", 80)
    await resolver.close()
    assert [(one["hostname"], one["host"], one["port"], one["family"]) for one in found] == [
        ("127.0.0.1", "127.0.0.1", 80, socket.AF_INET)
    ]


async def test_a_name_that_nobody_has_is_an_error() -> None:
    resolver = Resolver()
    with pytest.raises(OSError, match=r"known|resolution"):
        await resolver.resolve("nobody.invalid", 80)
    await resolver.close()


async def test_servers_of_names_that_do_not_answer_hold_up_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        answer.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = Resolver()
    lookups = [asyncio.create_task(resolver.resolve(f"{number}.example", 80)) for number in range(MANY)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(lambda: "a file") == "a file"
    finally:
        answer.set()
    assert await asyncio.gather(*lookups) == [[]] * MANY
    await resolver.close()
