"""The same refusal once more, for a request of which nothing has been read but its first bytes."""

from functools import partial

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from whisperd.errors import WhisperdError
from whisperd.web import answers, unread
from whisperd.web.accounting import account, outcome
from whisperd.web.connections import Connection
from whisperd.web.endpoint import Dialect
from whisperd.web.keys import EXCHANGE, QUOTA, ROOM, TURNSTILE


def remember(request: web.Request) -> None:
    """Have requests like this one, which was refused, refused by how they begin."""
    if _is_known(request):
        again = partial(_again, request, request[EXCHANGE].dialect)
        connection = request.protocol
        came = connection.began_with if isinstance(connection, Connection) else b""
        request.app[TURNSTILE].remember(request.remote or "", came, again)


def _is_known(request: web.Request) -> bool:
    """Whether all that matters of a request is in its beginning.

    Where a key has a quota, each request counts; a proxy waits for the end of the body; and who waits to be
    asked for the body has not sent what tells one request from another.
    """
    return (
        ROOM in request
        and QUOTA not in request
        and not request.secure
        and request.version == HttpVersion11
        and hdrs.EXPECT not in request.headers
        and not unread.is_forwarded(request)
    )


def _again(request: web.Request, dialect: Dialect, started: float) -> bytes | None:
    """To one that is like `request`; None where there is room for it."""
    try:
        request[ROOM]()
    except WhisperdError as error:
        this = answers.begin(request, dialect, started)
        response = answers.refusal(request, error)
        answers.sign_now(request, response)
        account(request, this, response.status, outcome(response.status), error.code)
        return _written(response)
    return None


def _written(response: web.Response) -> bytes:
    """As aiohttp sends what is a connection's last answer."""
    body = response.body
    assert isinstance(body, bytes)  # noqa: S101 - errors are
    headers = {
        **response.headers,
        hdrs.CONTENT_LENGTH: len(body),
        hdrs.DATE: rfc822_formatted_time(),
        hdrs.SERVER: SERVER_SOFTWARE,
        hdrs.CONNECTION: "close",
    }
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
