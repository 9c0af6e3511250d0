"""A job as a reader of its events hears of it, whose connection breaks again and again."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from torture.client import BROKEN, PAUSE_S, Client
from torture.clips import words

_NO_MORE: Final = 204
"""The status that tells readers not to come back."""


@dataclass
class Story:
    """What was heard."""

    seen: str | None = None
    """The id of the last event."""
    segments: dict[str, list[str]] = field(default_factory=dict)
    """The texts that came under each revision, in the order in which these came."""
    status: str | None = None
    """Of the end."""
    told: list[str] = field(default_factory=list)
    """The ids of all events but those of progress."""
    interruptions: int = 0

    def add(self, event_id: str, kind: str, data: Any) -> None:
        """Take an event in."""
        self.seen = event_id
        if kind == "progress":
            return
        self.told.append(event_id)
        if kind == "segment":
            self.segments.setdefault(event_id.partition(".")[0], []).append(data["text"])
        if kind == "end":
            self.status = data["status"]

    def wrong(self, text: str | None) -> list[str]:
        """What should not have been told of a job with this text."""
        found = []
        if len(self.told) > len(set(self.told)):
            found.append(f"told an event twice: {self.told}")
        revisions = [int(event_id.partition(".")[0]) for event_id in self.told]
        if revisions != sorted(revisions):
            found.append(f"told events out of order: {self.told}")
        last = " ".join([*self.segments.values()][-1]) if self.segments else ""
        if text is not None and words(last) != words(text):
            found.append(f"told {last!r} in its events, and in the end {text!r}")
        return found


async def read(client: Client, job_id: str) -> Story:
    """Read until the end has come, going on behind what was seen when the connection breaks."""
    story = Story()
    path = f"/v1/jobs/{job_id}/events"
    while story.status is None:
        try:
            async for event_id, kind, data in _events(client, path, story.seen):
                story.add(event_id, kind, data)
        except BROKEN:
            await asyncio.sleep(PAUSE_S)
        story.interruptions += story.status is None
    return story


async def _events(client: Client, path: str, after: str | None) -> AsyncIterator[tuple[str, str, Any]]:
    """Id, kind and data of each event of one connection."""
    event: dict[str, str] = {}
    async with client.stream(path, {"Last-Event-ID": after} if after else {}) as reply:
        if reply.status == _NO_MORE:
            raise AssertionError(f"{path} says that all was told, behind {after}")
        reply.raise_for_status()
        async for line in reply.content:
            name, colon, value = line.decode().rstrip("\n").partition(": ")
            if colon and name:
                event[name] = value
            elif not line.strip() and event:
                yield event["id"], event["event"], json.loads(event["data"])
                event = {}
