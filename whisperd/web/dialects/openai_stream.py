"""`stream=true`: the text as it is found, as server-sent events.

`transcript.text.delta` comes for each segment, and all deltas together are the text of
`transcript.text.done`. Who speaks is known at the end alone: a request for speakers gets its deltas then,
as `diarized_json` each with a `transcript.text.segment`.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from whisperd.errors import WhisperdError
from whisperd.transcript import formats
from whisperd.transcript.model import Doubt, Notice, Request, Segment, Transcript
from whisperd.web.dialects.openai_errors import error_body
from whisperd.web.dialects.openai_fields import Shape
from whisperd.web.dialects.openai_replies import (
    Language,
    Logprob,
    Usage,
    diarized,
    languages,
    line,
    logprobs,
)
from whisperd.web.keys import EXCHANGE
from whisperd.web.speech import process
from whisperd.web.sse import Events, beating


class Delta(Struct, frozen=True, kw_only=True, tag_field="type", tag="transcript.text.delta"):
    """More of the text."""

    delta: str
    logprobs: list[Logprob] | UnsetType = UNSET
    segment_id: str | UnsetType = UNSET
    doubts: list[Doubt] | UnsetType = UNSET
    """Why it may not be what was said, where there is a reason and no segment that tells of it."""


class Done(Struct, frozen=True, kw_only=True, tag_field="type", tag="transcript.text.done"):
    """The whole text."""

    text: str
    languages: list[Language] | UnsetType = UNSET
    logprobs: list[Logprob] | UnsetType = UNSET
    usage: Usage
    warnings: list[Notice] | UnsetType = UNSET


async def stream(
    request: web.Request, wanted: Request, shape: Shape, warnings: Sequence[Notice]
) -> web.StreamResponse:
    """Answer with events. Raises WhisperdError for what goes wrong before the first; later it is an event."""
    said: asyncio.Queue[Segment | None] = asyncio.Queue()
    work = asyncio.create_task(process(request, wanted, _Ear(said)))
    work.add_done_callback(lambda _: said.put_nowait(None))
    codes = ", ".join({notice.code for notice in warnings})
    events = Events(request, {"X-Whisperd-Warnings": codes} if codes else {})
    telling = _Telling(shape, [known.name for known in wanted.known_speakers])
    try:
        async with (
            contextlib.aclosing(_heard(said)) as heard,
            contextlib.aclosing(beating(heard, events)) as segments,
        ):
            async for segment in segments:
                if not wanted.speakers:
                    await _send(events, telling.of(segment))
        transcript = await work
        await _send(events, telling.rest(transcript, [*warnings, *transcript.warnings]))
    except WhisperdError as error:
        if not events.begun:
            raise
        request[EXCHANGE].failure = error
        await events.send(msgspec.json.encode(error_body(error)), event="error")
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    return await events.end()


async def _heard(said: "asyncio.Queue[Segment | None]") -> AsyncGenerator[Segment, None]:
    while segment := await said.get():
        yield segment


async def _send(events: Events, told: Iterator[Struct]) -> None:
    for event in told:
        await events.send(msgspec.json.encode(event))


class _Ear:
    """Hears segments for a queue."""

    def __init__(self, said: "asyncio.Queue[Segment | None]") -> None:
        self._said = said

    def decoded(self, duration_s: float) -> None:
        """Not told: a stream begins with its first segment."""

    def moved(self, position_s: float) -> None:
        """Progress, of which OpenAI's events don't tell."""

    def heard(self, segment: Segment) -> None:
        self._said.put_nowait(segment)


class _Telling:
    """Makes events of segments, so that the deltas together are the whole text."""

    def __init__(self, shape: Shape, known: Collection[str]) -> None:
        self._shape = shape
        self._known = known
        self._told = 0
        self._held = ""
        """Space behind what was told: the text ends without it."""
        self._begun = False

    def of(self, segment: Segment) -> Iterator[Struct]:
        """The delta of the next segment, unless it is empty."""
        self._told += 1
        text = self._held + segment.text if self._begun else segment.text.lstrip()
        told = text.rstrip()
        self._held = text[len(told) :]
        if told:
            self._begun = True
            yield Delta(
                delta=told,
                logprobs=logprobs(segment.words) if self._shape.logprobs else UNSET,
                doubts=segment.doubts or UNSET,
            )

    def rest(self, transcript: Transcript, warnings: Sequence[Notice]) -> Iterator[Struct]:
        """What was not told yet, and the end."""
        text = transcript.text
        if self._shape.format == "diarized_json":
            spoken = diarized(transcript, self._known)
            text = "\n".join(map(line, spoken))
            for number, one in enumerate(spoken):
                yield Delta(delta="\n" * bool(number) + line(one), segment_id=one.id)
                yield one
        elif self._shape.format == "text" and not self._told:
            if text := formats.plain(transcript.segments):
                yield Delta(delta=text)
        else:
            for segment in transcript.segments[self._told :]:
                yield from self.of(segment)
        yield Done(
            text=text,
            languages=languages(transcript, self._shape),
            logprobs=logprobs(transcript.words) if self._shape.logprobs else UNSET,
            usage=Usage(transcript.duration),
            warnings=list(warnings) or UNSET,
        )
