"""What the answers of Lexia's gateway are made of: whole milliseconds, letters for speakers, times of day."""

import datetime
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from whisperd.jobs.model import Job, JobStatus
from whisperd.transcript import turns
from whisperd.transcript.model import Doubt, Notice, Segment, Transcript

ResultStatus = Literal["queued", "processing", "completed", "error"]
"""What a transcription or diarization is called; a job's own status has more words."""


class Details(Struct, frozen=True, kw_only=True):
    """What a job keeps for this dialect."""

    metadata: dict[str, Any] | None = None
    warnings: list[Notice] = []

    @classmethod
    def of(cls, job: Job) -> "Details":
        """Those of a job."""
        return msgspec.convert(job.details, cls)


_STATUS: Final[dict[JobStatus, ResultStatus]] = {
    "pending": "queued",
    "queued": "queued",
    "processing": "processing",
    "completed": "completed",
    "failed": "error",
    "cancelled": "error",
}


class WordJson(Struct, frozen=True):
    """A word; milliseconds."""

    text: str
    start: int
    end: int
    confidence: float
    speaker: str | None
    """A letter, where speakers were told apart."""


class SegmentJson(Struct, frozen=True, kw_only=True):
    """A stretch of text; milliseconds."""

    id: int
    text: str
    start: int
    end: int
    confidence: float
    """Mean of the words'; without words, the mean of the tokens'."""
    words: list[WordJson] | None
    speaker: str | None
    language: str | None
    """A code, where it is not that of the whole."""
    doubts: list[Doubt]
    """Why the text may not be what was said."""


class UtteranceJson(Struct, frozen=True, kw_only=True):
    """What one speaker said until another did; milliseconds."""

    speaker: str
    start: int
    end: int
    text: str
    confidence: float
    words: list[WordJson] | None


def ms(seconds: float) -> int:
    """Whole milliseconds, cut off; what binary fractions lack of a whole one does not count."""
    return int(round(seconds * 1000, 3))


def moment(time: datetime.datetime | None) -> str | None:
    """UTC with microseconds and `Z`."""
    if time is None:
        return None
    utc = time.astimezone(datetime.UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "Z"


def created(job: Job) -> str:
    """When it came."""
    return moment(job.created_at) or ""


def status(job: Job) -> ResultStatus:
    """The status of what comes of the job."""
    return _STATUS[job.status]


def failure(job: Job) -> str | None:
    """Why nothing comes of it."""
    if job.status == "cancelled":
        return "The job was cancelled."
    return job.error.message if job.error else None


def lettered(transcript: Transcript) -> Transcript:
    """The transcript with A, B, ... for its speakers, in the order in which they first speak."""
    letters = turns.letters(transcript.turns)
    if not letters:
        return transcript
    return replace(
        transcript,
        segments=[renamed(segment, letters) for segment in transcript.segments],
        turns=[replace(turn, speaker=letters[turn.speaker]) for turn in transcript.turns],
    )


def renamed(segment: Segment, letters: Mapping[str, str]) -> Segment:
    """The segment with these names for its speakers; without any for who is not among them."""
    words = [replace(word, speaker=letters.get(word.speaker or "")) for word in segment.words]
    return replace(segment, speaker=letters.get(segment.speaker or ""), words=words)


def words(segments: Iterable[Segment]) -> list[WordJson]:
    """All words in order."""
    return [
        WordJson(word.text.strip(), ms(word.start), ms(word.end), word.probability, word.speaker)
        for segment in segments
        for word in segment.words
    ]


def segment_json(segment: Segment, *, with_words: bool = False) -> SegmentJson:
    """A segment."""
    return SegmentJson(
        id=segment.id,
        text=segment.text.strip(),
        start=ms(segment.start),
        end=ms(segment.end),
        confidence=confidence([segment]) or 0.0,
        words=words([segment]) if with_words else None,
        speaker=segment.speaker,
        language=segment.language,
        doubts=segment.doubts,
    )


def confidence(segments: Sequence[Segment]) -> float | None:
    """Mean of the words' probabilities; without words, of the tokens'; None where nothing was said."""
    of_words = [word.probability for segment in segments for word in segment.words]
    found = of_words or [math.exp(min(0.0, segment.avg_logprob)) for segment in segments]
    return statistics.fmean(found) if found else None


def utterances(segments: Sequence[Segment]) -> list[UtteranceJson] | None:
    """The segments, each of one speaker, joined until another speaks: so that every word is in one of them.
    None where it is not known who spoke.
    """
    runs: list[list[Segment]] = []
    for segment in segments:
        if segment.speaker is None:
            return None
        if runs and runs[-1][0].speaker == segment.speaker:
            runs[-1].append(segment)
        else:
            runs.append([segment])
    return [
        UtteranceJson(
            speaker=run[0].speaker or "",
            start=ms(run[0].start),
            end=max(ms(segment.end) for segment in run),
            text="".join(segment.text for segment in run).strip(),
            confidence=confidence(run) or 0.0,
            words=words(run),
        )
        for run in runs
    ]
