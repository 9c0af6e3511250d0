"""Keys for tests, in the state directory of a configuration."""

import contextlib
import datetime
from typing import Any

from whisperd.access.keys import Key
from whisperd.access.ring import Ring
from whisperd.config.schema import Config

NOW = datetime.datetime(2026, 11, 21, 10, 30, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def make_key(config: Config, **options: Any) -> tuple[Key, str]:
    """A key as the command line makes it, in a connection of its own."""
    defaults: dict[str, Any] = {
        "name": "test",
        "owner": "ann",
        "permissions": ("stt", "jobs", "llm"),
        "rate_limit": 60,
        "at": datetime.datetime.now(datetime.UTC),
    }
    with contextlib.closing(Ring.open(config.paths.state)) as ring:
        return ring.create(**(defaults | options))


def revoke_key(config: Config, key: Key) -> None:
    """As the command line does it."""
    with contextlib.closing(Ring.open(config.paths.state)) as ring:
        ring.revoke(key.id, at=datetime.datetime.now(datetime.UTC))
