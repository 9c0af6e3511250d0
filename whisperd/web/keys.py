"""The application's state, by typed keys."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from whisperd.access.caller import Caller
from whisperd.access.gate import Gate
from whisperd.access.limits import Quota
from whisperd.config.live import Live
from whisperd.errors import WhisperdError
from whisperd.jobs.desk import Desk
from whisperd.llm import LanguageModels
from whisperd.media.downloads import Downloads
from whisperd.media.fetch import Fetcher
from whisperd.media.spool import Spool
from whisperd.metrics import Metrics
from whisperd.service import Service
from whisperd.transcript.model import Transcript
from whisperd.web.endpoint import Dialect
from whisperd.web.forwarded import Origin
from whisperd.web.turnstile import Turnstile


@dataclass(slots=True)
class Exchange:
    """One request and what becomes known of it on the way, for the log and the metrics."""

    id: str
    dialect: Dialect
    started: float
    """By the monotonic clock."""
    transcripts: list[Transcript] = field(default_factory=list)
    """One for each recording that was answered."""
    failure: WhisperdError | None = None
    """What was told in a stream that had begun, and so had its status already."""
    tokens_input: int = 0
    tokens_output: int = 0
    """What a language model read and wrote."""


LIVE: Final = web.AppKey("live", Live)
SERVICE: Final = web.AppKey("service", Service)
SPOOL: Final = web.AppKey("spool", Spool)
METRICS: Final = web.AppKey("metrics", Metrics)
DESK: Final = web.AppKey("desk", Desk)
FETCHER: Final = web.AppKey("fetcher", Fetcher)
GATE: Final = web.AppKey("gate", Gate)
LLM: Final = web.AppKey("llm", LanguageModels)
DOWNLOADS: Final = web.AppKey("downloads", Downloads)
DIALECT_OF: Final[web.AppKey[Callable[[str], Dialect]]] = web.AppKey("dialect_of")
"""The dialect that is spoken at a path, served or not."""
DOCUMENT: Final = web.AppKey("document", bytes)
"""The API's description, as it is sent."""
TURNSTILE: Final = web.AppKey("turnstile", Turnstile)

ORIGIN: Final = web.RequestKey("origin", Origin)
"""Where the request comes from; set before all else."""
CALLER: Final = web.RequestKey("caller", Caller)
"""Who sent the request; set before any handler runs, but where everybody may ask."""
QUOTA: Final = web.RequestKey("quota", Quota)
"""What is left of the caller's requests, where these are counted."""
ROOM: Final[web.RequestKey[Callable[[], None]]] = web.RequestKey("room")
"""Raises Unavailable or RateLimited where there is no room for what is asked; set once that is known."""
INVITED: Final = web.RequestKey("invited", bool)
"""There where the client waited to be asked for its body, and was."""
EXCHANGE: Final = web.RequestKey("exchange", Exchange)
