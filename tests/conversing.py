"""Asking the language model's endpoints, with its server behind them."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from conftest import changed
from fake_llm import MODEL, FakeLlm
from fake_service import Web, serving

from whisperd.config.live import Live

CHAT = "/v1/chat/completions"
PROMPTS = "/v1/completions"
TALK: list[Any] = [{"role": "user", "content": "Sum it up: Ünïcode"}]


@contextlib.asynccontextmanager
async def serving_in_front_of(llm: FakeLlm, live: Live) -> AsyncIterator[Web]:
    """The application, with names of its own for the server's models."""
    live.current = changed(live.current, "llm", url=llm.url, models=(f"summaries={MODEL}", "small=phi"))
    async with serving(live) as web:
        yield web


def set_llm(web: Web, **options: Any) -> None:
    web.live.current = changed(web.live.current, "llm", **options)


async def ask(web: Web, path: str = CHAT, **body: Any) -> tuple[int, Any]:
    response = await web.client.post(path, json={"model": "summaries", "messages": TALK} | body)
    return response.status, await response.json()
