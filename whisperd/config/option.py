"""How an option is declared."""

from dataclasses import field
from typing import Any


def option(default: Any, doc: str, *, live: bool = False) -> Any:
    """An option. `live` says that a reload applies it; the others need a restart."""
    return field(default=default, metadata={"doc": doc, "live": live})
