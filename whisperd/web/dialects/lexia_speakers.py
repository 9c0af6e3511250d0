"""A diarization as Lexia's gateway shows it; every time and length is in milliseconds."""

from pathlib import PurePath
from typing import Any, Final, Literal

from msgspec import Struct

from whisperd.jobs.model import Job
from whisperd.transcript import formats, turns
from whisperd.transcript.model import Notice, Transcript, Turn
from whisperd.web.dialects.lexia_shapes import (
    Details,
    ResultStatus,
    UtteranceJson,
    created,
    failure,
    lettered,
    moment,
    ms,
    status,
    utterances,
)

_CERTAIN: Final = 1.0
"""The confidence of a turn: the pipeline tells none."""


class SpeakerJson(Struct, frozen=True, kw_only=True):
    """Somebody who speaks."""

    id: str
    label: None = None
    total_duration: int
    num_segments: int
    percentage: float
    """Of the time of all segments."""
    avg_segment_duration: int


class SpeakerSegmentJson(Struct, frozen=True, kw_only=True):
    """Somebody talking without a break."""

    speaker: str
    start: int
    end: int
    confidence: float = _CERTAIN


class OverlapJson(Struct, frozen=True, kw_only=True):
    """Two people talking at the same time."""

    speakers: list[str]
    start: int
    end: int
    duration: int


class StatsJson(Struct, frozen=True, kw_only=True):
    """Sums."""

    version: Literal["1.0"] = "1.0"
    model: str | None
    """None where text was asked for as well, whose model is another."""
    audio_duration: int
    num_speakers: int
    num_segments: int
    num_overlaps: int
    overlap_duration: int
    processing_time: int


class Found(Struct, frozen=True, kw_only=True):
    """What came of a diarization: a job has it in its `result`."""

    speakers: list[SpeakerJson]
    segments: list[SpeakerSegmentJson]
    utterances: list[UtteranceJson]
    """With text where it was asked for; else one without for each segment."""
    stats: StatsJson
    rttm: str
    overlaps: list[OverlapJson]


class DiarizationJson(Struct, frozen=True, kw_only=True):
    """A diarization; every key is always there. Its `id` is its job's too."""

    id: str
    status: ResultStatus
    created_at: str
    completed_at: str | None
    audio_url: str | None
    audio_duration: int | None
    utterances: list[UtteranceJson] | None
    speakers: list[SpeakerJson] | None
    """A, B, ... in the order in which they first speak."""
    segments: list[SpeakerSegmentJson] | None
    """By their start; they may overlap."""
    overlaps: list[OverlapJson] | None
    stats: StatsJson | None
    rttm: str | None
    error: str | None
    metadata: dict[str, Any] | None
    warnings: list[Notice]
    """What of the request has no effect, and how the answer is less than was asked for."""


def diarization(job: Job, transcript: Transcript | None) -> DiarizationJson:
    """The diarization that a job is for, and what came of it."""
    details = Details.of(job)
    result = found(job, transcript) if transcript else None
    length_s = transcript.duration if transcript else job.audio_duration_s
    if length_s is None and job.progress:
        length_s = job.progress.duration_s
    return DiarizationJson(
        id=job.id,
        status=status(job),
        created_at=created(job),
        completed_at=moment(job.completed_at),
        audio_url=job.source.url,
        audio_duration=None if length_s is None else ms(length_s),
        utterances=result.utterances if result else None,
        speakers=result.speakers if result else None,
        segments=result.segments if result else None,
        overlaps=result.overlaps if result else None,
        stats=result.stats if result else None,
        rttm=result.rttm if result else None,
        error=failure(job),
        metadata=details.metadata,
        warnings=[*details.warnings, *(transcript.warnings if transcript else ())],
    )


def found(job: Job, transcript: Transcript) -> Found:
    """Who spoke when."""
    told = lettered(transcript)
    segments = sorted(told.turns, key=lambda turn: (turn.start, turn.end))
    both = [
        OverlapJson(
            speakers=list(overlap.speakers),
            start=ms(overlap.start),
            end=ms(overlap.end),
            duration=ms(overlap.end) - ms(overlap.start),
        )
        for overlap in turns.overlaps(segments)
    ]
    speakers = _speakers(segments)
    return Found(
        speakers=speakers,
        segments=[
            SpeakerSegmentJson(speaker=turn.speaker, start=ms(turn.start), end=ms(turn.end))
            for turn in segments
        ],
        utterances=(utterances(told.segments) if told.segments else None) or _wordless(segments),
        stats=StatsJson(
            model=None if job.work.text else transcript.model,
            audio_duration=ms(transcript.duration),
            num_speakers=len(speakers),
            num_segments=len(segments),
            num_overlaps=len(both),
            overlap_duration=sum(overlap.duration for overlap in both),
            processing_time=ms(transcript.timings.wall_s),
        ),
        rttm=rttm(job, segments),
        overlaps=both,
    )


def rttm(job: Job, segments: list[Turn]) -> str:
    """The turns as RTTM, under the recording's name."""
    return formats.rttm(segments, PurePath(job.source.filename).stem)


def _wordless(segments: list[Turn]) -> list[UtteranceJson]:
    return [
        UtteranceJson(
            speaker=turn.speaker,
            start=ms(turn.start),
            end=ms(turn.end),
            text="",
            confidence=_CERTAIN,
            words=None,
        )
        for turn in segments
    ]


def _speakers(segments: list[Turn]) -> list[SpeakerJson]:
    lengths: dict[str, list[int]] = {}
    for turn in segments:
        lengths.setdefault(turn.speaker, []).append(ms(turn.end) - ms(turn.start))
    whole = sum(map(sum, lengths.values()))
    return [
        SpeakerJson(
            id=speaker,
            total_duration=sum(parts),
            num_segments=len(parts),
            percentage=round(100 * sum(parts) / whole, 2) if whole else 0.0,
            avg_segment_duration=sum(parts) // len(parts),
        )
        for speaker, parts in lengths.items()
    ]


EXAMPLE: Final = {
    "id": "db95cb82-3f2a-4a5d-9a4e-2f7f4f0f3b1a",
    "status": "completed",
    "created_at": "2026-11-21T01:36:53.131716Z",
    "completed_at": "2026-11-21T01:36:58.000000Z",
    "audio_url": None,
    "audio_duration": 15000,
    "utterances": [
        {"speaker": "A", "start": 0, "end": 7500, "text": "", "confidence": 1.0, "words": None},
        {"speaker": "B", "start": 7000, "end": 14500, "text": "", "confidence": 1.0, "words": None},
    ],
    "speakers": [
        {
            "id": letter,
            "label": None,
            "total_duration": 7500,
            "num_segments": 1,
            "percentage": 50.0,
            "avg_segment_duration": 7500,
        }
        for letter in "AB"
    ],
    "segments": [
        {"speaker": "A", "start": 0, "end": 7500, "confidence": 1.0},
        {"speaker": "B", "start": 7000, "end": 14500, "confidence": 1.0},
    ],
    "overlaps": [{"speakers": ["A", "B"], "start": 7000, "end": 7500, "duration": 500}],
    "stats": {
        "version": "1.0",
        "model": "diarization",
        "audio_duration": 15000,
        "num_speakers": 2,
        "num_segments": 2,
        "num_overlaps": 1,
        "overlap_duration": 500,
        "processing_time": 500,
    },
    "rttm": "SPEAKER talk 1 0.000 7.500 <NA> <NA> A <NA> <NA>\n"
    "SPEAKER talk 1 7.000 7.500 <NA> <NA> B <NA> <NA>\n",
    "error": None,
    "metadata": None,
    "warnings": [],
}
