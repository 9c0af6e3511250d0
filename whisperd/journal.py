"""Logging for a service that is watched with journalctl.

Under systemd a record goes to journald's own socket, so that its fields (`REQUEST_ID=`, `OUTCOME=`, ...)
can be searched; elsewhere it is one line on stderr with the same fields behind it.

    logger.info("...", extra=fields(request_id=..., outcome="ok"))
"""

from typing import Any


def fields(**values: Any) -> dict[str, Any]:
    """The `extra=` of a log call: journal fields, by lower-case name. None is left out."""
    return {"journal_fields": {name: value for name, value in values.items() if value is not None}}
