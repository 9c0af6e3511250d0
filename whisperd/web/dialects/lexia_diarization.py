"""Lexia's speech server: `POST /diarize` with the recording in `audio`, options in the query."""

from pathlib import Path, PurePath
from typing import Final, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType, structs

from whisperd.transcript import formats, turns
from whisperd.transcript.model import Notice, Request, Transcript, Turn
from whisperd.web import fastapi
from whisperd.web.crossroads import LIKELY, PERHAPS, Sent, Way
from whisperd.web.dialects.lexia import AUDIO, renderer
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.fields import Values, integer, number
from whisperd.web.room import early
from whisperd.web.speech import ignored, misplaced, process, query_values, reply, speaker_hints
from whisperd.web.uploads import Form, receive

_MAX_SPEAKERS: Final = 20

HINTS: Final = (
    integer("num_speakers", "How many people speak, where that is known.", minimum=1, maximum=_MAX_SPEAKERS),
    integer("min_speakers", "At least so many people speak.", minimum=1, maximum=_MAX_SPEAKERS),
    integer("max_speakers", "At most so many people speak.", minimum=1, maximum=_MAX_SPEAKERS),
)
MIN_SEGMENT: Final = number("min_segment_duration", "Shorter segments are left out; seconds.", minimum=0)
MERGE_GAPS: Final = number(
    "merge_gaps", "Segments of one speaker that are no further apart are joined; seconds.", minimum=0
)
QUERY: Final = (*HINTS, MIN_SEGMENT, MERGE_GAPS)

DIALECT: Final = Dialect(name="lexia", render_error=renderer(QUERY, "Diarization"), error=fastapi.Detail)


class SpeakerJson(Struct, frozen=True, kw_only=True):
    """A speaker; seconds."""

    id: str
    total_duration: float
    num_segments: int
    percentage: float
    """Of the time of all segments."""


class SpeakerSegmentJson(Struct, frozen=True, kw_only=True):
    """Somebody talking without a break; seconds."""

    speaker: str
    start: float
    end: float
    confidence: float = 1.0
    """Always 1: the pipeline tells none."""


class OverlapJson(Struct, frozen=True, kw_only=True):
    """Two people talking at the same time; seconds."""

    speakers: list[str]
    start: float
    end: float
    duration: float


class StatsJson(Struct, frozen=True, kw_only=True):
    """Sums; seconds."""

    version: Literal["1.0"] = "1.0"
    model: str
    audio_duration: float
    num_speakers: int
    num_segments: int
    num_overlaps: int
    overlap_duration: float
    processing_time: float


class DiarizationJson(Struct, frozen=True, kw_only=True):
    """Speakers are A, B, ... in the order in which they first speak."""

    speakers: list[SpeakerJson]
    segments: list[SpeakerSegmentJson]
    overlaps: list[OverlapJson]
    stats: StatsJson
    rttm: str
    warnings: list[Notice] | UnsetType = UNSET


async def diarize(request: web.Request) -> web.StreamResponse:
    """Tell the speakers of one recording apart."""
    begins = early(request, _wanted, ())
    async with receive(request, files=(AUDIO,), fields=(), begins=begins) as form:
        return await _diarized(request, form)


async def _diarized(request: web.Request, form: Form) -> web.StreamResponse:
    values = query_values(request)
    recording = form.recording()
    shortest_s, gap_s = values.one(MIN_SEGMENT) or 0.0, values.one(MERGE_GAPS) or 0.0
    wanted = structs.replace(_wanted(request, form.values), audio=recording.path)
    transcript = await process(request, wanted)
    warnings = ignored(values, known=QUERY) + misplaced(form.values) + transcript.warnings

    def write() -> bytes:
        letters = turns.letters(transcript.turns)
        named = [Turn(turn.start, turn.end, letters[turn.speaker]) for turn in transcript.turns]
        kept = turns.without_short(named, shortest_s)
        if gap_s:
            kept = turns.without_gaps(kept, gap_s)
        name = PurePath(recording.filename).stem
        return msgspec.json.encode(_diarization(transcript, named, kept, name, warnings))

    return await reply(transcript, write, warnings=warnings)


def _wanted(request: web.Request, _: Values) -> Request:
    hints = speaker_hints(query_values(request), HINTS)
    return Request(audio=Path(), text=False, speakers=True, hints=hints)


def _diarization(
    transcript: Transcript, spoken: list[Turn], kept: list[Turn], name: str, warnings: list[Notice]
) -> DiarizationJson:
    """The reply; overlaps are those of all that was spoken, segments those that were kept."""
    overlaps = [
        OverlapJson(speakers=list(both), start=start, end=end, duration=round(end - start, 3))
        for both, start, end in turns.overlaps(spoken)
    ]
    speakers = _speakers(kept)
    timings = transcript.timings
    return DiarizationJson(
        speakers=speakers,
        segments=[SpeakerSegmentJson(speaker=turn.speaker, start=turn.start, end=turn.end) for turn in kept],
        overlaps=overlaps,
        stats=StatsJson(
            model=transcript.model or "",
            audio_duration=transcript.duration,
            num_speakers=len(speakers),
            num_segments=len(kept),
            num_overlaps=len(overlaps),
            overlap_duration=round(sum(overlap.duration for overlap in overlaps), 3),
            processing_time=round(timings.wall_s, 3),
        ),
        rttm=formats.rttm(kept, name),
        warnings=warnings or UNSET,
    )


def _speakers(kept: list[Turn]) -> list[SpeakerJson]:
    durations: dict[str, list[float]] = {}
    for turn in kept:
        durations.setdefault(turn.speaker, []).append(turn.end - turn.start)
    whole = sum(map(sum, durations.values()))
    return [
        SpeakerJson(
            id=speaker,
            total_duration=round(sum(parts), 3),
            num_segments=len(parts),
            percentage=round(100 * sum(parts) / whole, 2) if whole else 0.0,
        )
        for speaker, parts in durations.items()
    ]


EXAMPLE: Final = {
    "speakers": [
        {"id": "A", "total_duration": 7.5, "num_segments": 1, "percentage": 50.0},
        {"id": "B", "total_duration": 7.5, "num_segments": 1, "percentage": 50.0},
    ],
    "segments": [
        {"speaker": "A", "start": 0.0, "end": 7.5, "confidence": 1.0},
        {"speaker": "B", "start": 7.0, "end": 14.5, "confidence": 1.0},
    ],
    "overlaps": [{"speakers": ["A", "B"], "start": 7.0, "end": 7.5, "duration": 0.5}],
    "stats": {
        "version": "1.0",
        "model": "diarization",
        "audio_duration": 15.0,
        "num_speakers": 2,
        "num_segments": 2,
        "num_overlaps": 1,
        "overlap_duration": 0.5,
        "processing_time": 0.5,
    },
    "rttm": "SPEAKER talk 1 0.000 7.500 <NA> <NA> A <NA> <NA>\n"
    "SPEAKER talk 1 7.000 7.500 <NA> <NA> B <NA> <NA>\n",
}


def _likeness(sent: Sent) -> int:
    return LIKELY if sent.is_form else PERHAPS


DIARIZE: Final = Way(
    endpoint=Endpoint(
        method="POST",
        path="/diarize",
        handler=diarize,
        dialect=DIALECT,
        summary="Who spoke when, as Lexia's speech server has it",
        query=QUERY,
        files=(AUDIO,),
        replies=(Reply(doc="Speakers, segments, overlaps", bodies=(DiarizationJson,), example=EXAMPLE),),
    ),
    likeness=_likeness,
    wanted=_wanted,
    answer=_diarized,
)
