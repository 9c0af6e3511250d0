"""Requests that are no HTTP: aiohttp answers them with 400 before any handler, and logs them whole; of bodies
that are none, which nobody read, it logs a traceback.

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
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        record.msg = "refused what is no HTTP, from %s"
    elif record.exc_info and isinstance(record.exc_info[1], web.RequestPayloadError):
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        record.msg, record.args = "left the rest of a body that is no HTTP", ()
    return True
