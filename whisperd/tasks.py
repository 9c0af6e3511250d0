"""Tasks that end with the block that needs them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any


@contextlib.asynccontextmanager
async def scoped(*tasks: asyncio.Task[Any]) -> AsyncIterator[None]:
    """Cancel the tasks, and wait for their ends, when the context is left."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
