"""`Expect: 100-continue`: a client that waits to be asked for its body is asked when it is to be read.

Until then it can be refused: for its key, for the size that it declares, for want of room. It has sent
nothing in vain.
"""

from aiohttp import HttpVersion11, hdrs, web

from whisperd.web.keys import INVITED


async def hold(_: web.Request) -> None:
    """Leave a client waiting that asked whether to send its body: whoever reads it calls `invite`."""


def check_expectation(request: web.Request) -> None:
    """Refuse to be expected to do anything else. Raises HTTPExpectationFailed."""
    expectation = request.headers.get(hdrs.EXPECT)
    if expectation and request.version >= HttpVersion11 and expectation.lower() != "100-continue":
        raise web.HTTPExpectationFailed


def is_held(request: web.Request) -> bool:
    """Whether the client waits to be asked for its body, and was not."""
    return hdrs.EXPECT in request.headers and request.version >= HttpVersion11 and INVITED not in request


async def invite(request: web.Request) -> None:
    """Ask for the body, where the client waits for that."""
    if is_held(request):
        request[INVITED] = True
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is no part of the answer, which has not begun
