"""`whisperd reload`: have the running daemon read its configuration again."""

import argparse
import asyncio
import os
from pathlib import Path

import aiohttp
import msgspec
from msgspec import Struct

from whisperd.config.load import load
from whisperd.config.schema import Config
from whisperd.errors import ConfigError, WhisperdError


class _Reply(Struct):
    """What the control socket answers: what changed, or why nothing did."""

    applied: list[str] = []
    needs_restart: list[str] = []
    error: str | None = None


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `reload`, which sets `func`."""
    parser = subparsers.add_parser(
        "reload",
        help="have the running daemon read its configuration again",
        description="Have the running daemon read its configuration again, and tell which of the changed "
        "options are in force now and which need a restart. With a mistake in the configuration the daemon "
        "goes on as it was, and the exit status is 1. `systemctl reload whisperd` does this.",
    )
    parser.set_defaults(func=_run)


def _run(arguments: argparse.Namespace) -> int:
    config, mistakes = Config(), None
    try:
        config = load(arguments.config, os.environ)
    except ConfigError as error:
        # The daemon finds these too, and notes them in its status: it is asked all the same.
        mistakes = error
    socket = config.paths.control_socket
    try:
        reply = asyncio.run(_ask(socket))
    except (aiohttp.ClientError, msgspec.DecodeError) as error:
        if mistakes:
            raise mistakes from error
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise WhisperdError(f"no daemon answers at {socket}: {reason}") from error
    if reply.error is not None:
        raise WhisperdError(f"the daemon goes on as it was\n{reply.error}")
    if reply.applied:
        print(f"in force now: {', '.join(reply.applied)}")
    if reply.needs_restart:
        print(f"in force after a restart: {', '.join(reply.needs_restart)}")
    if not reply.applied and not reply.needs_restart:
        print("nothing has changed")
    return 0


async def _ask(socket: Path) -> _Reply:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.post("http://localhost/reload") as response,
    ):
        return msgspec.json.decode(await response.read(), type=_Reply)
