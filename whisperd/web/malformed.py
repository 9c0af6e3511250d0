"""Requests that are no HTTP: aiohttp answers them with 400 before any handler, and logs them whole; of bodies
that are none, which nobody read, and of files that a client asked for and did not take, it logs a traceback.

A port on a network hears such things daily, and behind the `?` may stand a secret: here they become one
line without the request.
"""

import logging
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_AIOHTTP: Final = logging.getLogger("aiohttp.server")


def keep_out_of_the_log() -> None:
    """From now on."""
    _AIOHTTP.addFilter(_without_the_request)


def _without_the_request(record: logging.LogRecord) -> bool:
    match record.exc_info[1] if record.exc_info else None:
        case HttpProcessingError():
            record.msg = "refused what is no HTTP, from %s"
        case web.RequestPayloadError():
            record.msg, record.args = "left the rest of a body that is no HTTP", ()
        case TimeoutError():
            record.msg, record.args = "gave up an answer that its client did not take", ()
        case _:
            return True
    record.exc_info = None
    record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    return True
