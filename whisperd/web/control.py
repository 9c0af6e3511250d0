"""The control socket: what the administrator's own commands ask of the running daemon."""

from collections.abc import Callable

from aiohttp import web
from msgspec import Struct

from whisperd.errors import ConfigError
from whisperd.web.bodies import json_reply


class Reloaded(Struct, frozen=True):
    """What a reload changed, and what it could not; dotted names of options."""

    applied: list[str]
    needs_restart: list[str]


class Refused(Struct, frozen=True):
    """Why a reload was refused: the configuration's mistakes, a line each."""

    error: str


def create_control(reload: Callable[[], Reloaded]) -> web.Application:
    """`POST /reload`: 200 with Reloaded, or 400 with Refused."""

    async def handle(_: web.Request) -> web.Response:
        try:
            reply: Struct = reload()
        except ConfigError as error:
            return json_reply(Refused(error.message), status=400)
        return json_reply(reply, status=200)

    app = web.Application()
    app.router.add_post("/reload", handle)
    return app
