"""Paths with doubled slashes, as clients make of a base URL that ends in one: served as if single."""

import re
from collections.abc import Iterator
from typing import Any, Final

from aiohttp import web
from aiohttp.abc import AbstractMatchInfo
from yarl import URL

_SLASHES: Final = re.compile("//+")


def single_slashes(path: str) -> str:
    """The path without empty parts."""
    return _SLASHES.sub("/", path)


class DoubledSlashes(web.AbstractResource):
    """Asks the router once more, for the path that was meant."""

    def __init__(self, router: web.UrlDispatcher) -> None:
        super().__init__()
        self._router = router

    @property
    def canonical(self) -> str:
        return "/"  # the router comes here with every path that nothing else served

    async def resolve(self, request: web.Request) -> tuple[Any, set[str]]:
        meant = single_slashes(request.rel_url.raw_path)
        if meant == request.rel_url.raw_path:
            return None, set()
        found: AbstractMatchInfo = await self._router.resolve(
            request.clone(rel_url=request.rel_url.with_path(meant, encoded=True, keep_query=True))
        )
        match = found.http_exception
        if match is None:
            return found, set()
        return None, match.allowed_methods if isinstance(match, web.HTTPMethodNotAllowed) else set()

    def raw_match(self, path: str) -> bool:  # noqa: ARG002
        return False

    def url_for(self, **_: str) -> URL:
        raise NotImplementedError("no path is this resource's own")

    def add_prefix(self, prefix: str) -> None:
        raise NotImplementedError("no path is this resource's own")

    def get_info(self) -> Any:
        return {}

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter(())

    def __len__(self) -> int:
        return 0
