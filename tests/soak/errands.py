"""Every kind of errand, and how often it is run."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, NamedTuple

from soak import jobs, looking, rude, speech, tracks
from soak.world import World

Outcome = Literal["answered", "declined", "abandoned"]
"""`declined`: with the error that it had to get. `abandoned`: by the guest itself."""

Errand = Callable[[World, random.Random], Awaitable[Outcome]]


class Kind(NamedTuple):
    """An errand among the others."""

    run: Errand
    weight: float


ERRANDS: Final[Mapping[str, Kind]] = {
    "clip, OpenAI": Kind(speech.openai, 12),
    "clip with speakers, OpenAI": Kind(speech.diarized, 3),
    "several clips, OpenAI as Reflector asks": Kind(speech.openai_batch, 1),
    "stream": Kind(speech.stream, 5),
    "long file": Kind(speech.long, 0.5),
    "long file, stream": Kind(speech.long_stream, 0.5),
    "who spoke when": Kind(speech.diarization, 2),
    "clip, werify": Kind(speech.werify, 3),
    "several clips, werify": Kind(speech.werify_batch, 1),
    "clip, Flask, and its downloads": Kind(speech.flask, 3),
    "clip, Lexia's server": Kind(speech.lexia, 3),
    "who spoke when, Lexia's server": Kind(speech.lexia_diarize, 1),
    "clip, gateway, at once": Kind(speech.gateway_sync, 2),
    "URL, Reflector": Kind(speech.reflector_url, 3),
    "who spoke when, URL, Reflector": Kind(speech.reflector_diarize, 1),
    "URL, werify": Kind(speech.werify_url, 2),
    "URL that can't be had": Kind(rude.bad_url, 2),
    "pad, Reflector": Kind(tracks.pad, 1),
    "mixdown, Reflector": Kind(tracks.mixdown, 1),
    "job with webhook": Kind(jobs.hooked, 5),
    "job by URL, its events": Kind(jobs.by_url, 3),
    "job, cancelled": Kind(jobs.cancelled, 3),
    "bad file": Kind(rude.bad_file, 5),
    "bad request": Kind(rude.bad_request, 3),
    "slow sender": Kind(rude.slow, 2),
    "sender that stops": Kind(rude.stalled, 1),
    "hangs up while sending": Kind(rude.hangs_up_sending, 3),
    "hangs up while waiting": Kind(rude.hangs_up_waiting, 4),
    "hangs up while reading": Kind(rude.hangs_up_reading, 3),
    "looks": Kind(looking.looks, 6),
}


def pick(chance: random.Random) -> str:
    """The next errand."""
    return chance.choices(tuple(ERRANDS), [kind.weight for kind in ERRANDS.values()])[0]
