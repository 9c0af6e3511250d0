"""Reflector's work on the tracks of a meeting: `POST /pad` and `POST /mixdown`.

Tracks are fetched, and the result is PUT to a URL. A client that hangs up ends the work, so no reply ever
says that it was `cancelled`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web
from msgspec import Struct

from whisperd.errors import RequestError
from whisperd.media.disk import finish
from whisperd.tasks import scoped
from whisperd.web.bodies import json_reply
from whisperd.web.dialects.reflector_requests import dialect, naming, read_body, recording
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.keys import FETCHER, SERVICE, SPOOL

MAX_DELAY_S: Final = 18_000
MAX_TRACKS: Final = 100

_TOO_LATE: Final = f"exceeds maximum {MAX_DELAY_S}s ({MAX_DELAY_S // 3600} hours)"

# ---- one track after silence ---------------------------------------------------------------------


class PadBody(Struct, frozen=True, kw_only=True):
    """A track, and how much silence it is to come after."""

    track_url: str
    output_url: str
    """Where the result is PUT."""
    start_time_seconds: float
    track_index: int
    """Has no effect: it is the client's own."""


class PaddedJson(Struct, frozen=True, kw_only=True):
    """The result's bytes."""

    size: int
    cancelled: bool = False


async def pad(request: web.Request) -> web.StreamResponse:
    """Write a track anew, after silence."""
    body = await read_body(request, PadBody)
    _check_pad(body)
    async with (
        _result(request) as result,
        recording(request, body.track_url, param="track_url") as track,
    ):
        await request.app[SERVICE].pad(track, result, body.start_time_seconds, patient=True)
        size = await _deliver(request, result, body.output_url)
    return json_reply(PaddedJson(size=size), 200)


def _check_pad(body: PadBody) -> None:
    if not body.track_url:
        raise RequestError("track_url cannot be empty")
    if not body.output_url:
        raise RequestError("output_url cannot be empty")
    if body.start_time_seconds <= 0:
        raise RequestError(f"start_time_seconds must be positive, got {body.start_time_seconds}")
    if body.start_time_seconds > MAX_DELAY_S:
        raise RequestError(f"start_time_seconds {_TOO_LATE}")


# ---- all tracks in one ---------------------------------------------------------------------------


class MixBody(Struct, frozen=True, kw_only=True):
    """Tracks, those with an empty URL left out."""

    track_urls: list[str]
    output_url: str
    """Where the result is PUT."""
    target_sample_rate: int | None = None
    """One that MP3 can carry; null is the first track's own."""
    offsets_seconds: list[float] | None = None
    """For each track when it starts; the earliest starts at once."""


class MixedJson(Struct, frozen=True, kw_only=True):
    """The result's bytes and length."""

    size: int
    duration_ms: float
    cancelled: bool = False


async def mix(request: web.Request) -> web.StreamResponse:
    """Mix tracks."""
    body = await read_body(request, MixBody)
    urls, delays_s = _tracks(body)
    async with _result(request) as result, _recordings(request, urls) as tracks:
        with naming("target_sample_rate"):
            seconds = await request.app[SERVICE].mix(
                tracks, result, delays_s, body.target_sample_rate, patient=True
            )
        size = await _deliver(request, result, body.output_url)
    return json_reply(MixedJson(size=size, duration_ms=round(seconds * 1000, 2)), 200)


def _tracks(body: MixBody) -> tuple[list[str], list[float]]:
    """URLs, and for each the delay in seconds. Raises RequestError."""
    if not any(body.track_urls):
        raise RequestError("No valid track URLs provided")
    offsets = [0.0] * len(body.track_urls) if body.offsets_seconds is None else body.offsets_seconds
    if len(offsets) != len(body.track_urls):
        raise RequestError(
            f"offsets_seconds length ({len(offsets)}) must match track_urls ({len(body.track_urls)})"
        )
    tracks = [(url, offset) for url, offset in zip(body.track_urls, offsets, strict=True) if url]
    first = min(offset for _, offset in tracks)
    delays = [offset - first for _, offset in tracks]
    if max(*offsets, *delays) > MAX_DELAY_S:
        raise RequestError(f"offsets_seconds {_TOO_LATE}")
    if not body.output_url:
        raise RequestError("output_url cannot be empty")
    if len(tracks) > MAX_TRACKS:
        raise RequestError(f"there are {len(tracks)} tracks; at most {MAX_TRACKS} are mixed")
    return [url for url, _ in tracks], delays


@contextlib.asynccontextmanager
async def _recordings(request: web.Request, urls: Sequence[str]) -> AsyncIterator[list[Path]]:
    """Fetch all at the same time. The first that fails is told of, and ends the others."""
    async with contextlib.AsyncExitStack() as stack:
        fetching = [
            asyncio.create_task(
                stack.enter_async_context(recording(request, url, param=f"track_urls.{number}"))
            )
            for number, url in enumerate(urls)
        ]
        async with scoped(*fetching):
            tracks = await asyncio.gather(*fetching)
        yield tracks


# ---- results -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _result(request: web.Request) -> AsyncIterator[Path]:
    """Where a result can be written, in a directory that is gone when the context is left."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(request.app[SPOOL].directory())
        try:
            yield directory / "result"
        finally:
            await finish(asyncio.to_thread(stack.close))


async def _deliver(request: web.Request, result: Path, url: str) -> int:
    """Send the result away; returns its bytes."""
    with naming("output_url"):
        await request.app[FETCHER].put(url, result)
    return result.stat().st_size  # noqa: ASYNC240 - no more than a look at it


PAD: Final = Endpoint(
    method="POST",
    path="/pad",
    handler=pad,
    dialect=dialect(work="Padding"),
    summary="A track after silence, as WebM with Opus, as Reflector has it",
    body=PadBody,
    example={
        "track_url": "https://example.com/track.webm",
        "output_url": "https://example.com/padded.webm",
        "start_time_seconds": 2.5,
        "track_index": 0,
    },
    replies=(
        Reply(
            doc="The result was sent to `output_url`",
            bodies=(PaddedJson,),
            example={"size": 1634, "cancelled": False},
        ),
    ),
)

MIXDOWN: Final = Endpoint(
    method="POST",
    path="/mixdown",
    handler=mix,
    dialect=dialect(work="Mixdown"),
    summary="Several tracks in one, as stereo MP3, as Reflector has it",
    body=MixBody,
    example={
        "track_urls": ["https://example.com/0.webm", "https://example.com/1.webm"],
        "output_url": "https://example.com/mixed.mp3",
        "target_sample_rate": None,
        "offsets_seconds": [0, 1.5],
    },
    replies=(
        Reply(
            doc="The result was sent to `output_url`",
            bodies=(MixedJson,),
            example={"size": 12752, "duration_ms": 2069.06, "cancelled": False},
        ),
    ),
)
