"""What is kept of a request that was answered: one line in the journal, one count, what its key has used."""

import datetime
import logging
import time

from aiohttp import web

from whisperd.access.caller import Caller
from whisperd.access.usage import Use
from whisperd.journal import fields
from whisperd.web.keys import CALLER, GATE, METRICS, ORIGIN, Exchange

logger = logging.getLogger(__name__)


def outcome(status: int) -> str:
    """What became of a request that was answered with this status."""
    return "ok" if status < 400 else "refused" if status < 500 else "failed"


def account(request: web.Request, this: Exchange, status: int, outcome: str, code: str | None) -> None:
    """One line and one count. Never the text, nor what stands behind the `?`."""
    wall_s = time.monotonic() - this.started
    origin = request.get(ORIGIN)
    metrics = request.app[METRICS]
    metrics.request_ended(this.dialect.name, outcome, status, wall_s)
    for transcript in this.transcripts:
        metrics.answered(this.dialect.name, transcript)
    caller = request.get(CALLER)
    if caller:
        request.app[GATE].usage.record(_use(request, this, caller, status, wall_s))
    level = logging.DEBUG if this.dialect.quiet and status < 500 else logging.INFO
    last = this.transcripts[-1] if this.transcripts else None
    audio_s = sum(transcript.duration for transcript in this.transcripts) if last else None
    warnings = dict.fromkeys(notice.code for one in this.transcripts for notice in one.warnings)
    path = request.rel_url.raw_path  # as it was sent: decoded, it could look like more lines of a log
    logger.log(
        level,
        "%s %s %d %s%s",
        request.method,
        path,
        status,
        outcome,
        f", {audio_s:.1f} s of audio in {wall_s:.2f} s" if audio_s else "",
        extra=fields(
            request_id=this.id,
            client=origin.client if origin else request.remote,
            owner=caller.owner if caller and caller.key_id else None,
            key_id=caller.key_id if caller else None,
            dialect=this.dialect.name,
            method=request.method,
            path=path,
            status=status,
            outcome=outcome,
            error_code=code,
            wall_s=round(wall_s, 3),
            audio_s=round(audio_s, 3) if audio_s is not None else None,
            speed=round(audio_s / wall_s, 1) if audio_s else None,
            model=last.model if last else None,
            device=last.device if last else None,
            warnings=",".join(warnings) or None,
        ),
    )


def _use(request: web.Request, this: Exchange, caller: Caller, status: int, wall_s: float) -> Use:
    resource = request.match_info.route.resource
    timings = [transcript.timings for transcript in this.transcripts]
    return Use(
        at=datetime.datetime.now(datetime.UTC),
        owner=caller.owner,
        key_id=caller.key_id,
        endpoint=resource.canonical if resource else request.path,
        method=request.method,
        status=status,
        latency_s=wall_s,
        audio_s=sum(transcript.duration for transcript in this.transcripts),
        wall_s=sum(each.wall_s for each in timings),
        device_s=sum(each.device_s for each in timings),
        tokens_in=this.tokens_input,
        tokens_out=this.tokens_output,
    )
