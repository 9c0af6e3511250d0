"""A transcription as Lexia's gateway shows it."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from whisperd.jobs.model import Delivery, Job
from whisperd.transcript.model import Notice, Segment, Transcript
from whisperd.web.dialects.lexia_shapes import (
    Details,
    ResultStatus,
    SegmentJson,
    UtteranceJson,
    WordJson,
    confidence,
    created,
    failure,
    lettered,
    moment,
    segment_json,
    status,
    utterances,
    words,
)


class QueuedJson(Struct, frozen=True, kw_only=True):
    """A transcription that was taken. Its `id` is its job's too."""

    id: str
    status: ResultStatus
    created_at: str
    audio_url: str | None
    estimated_completion: str | None


class TranscriptionJson(Struct, frozen=True, kw_only=True):
    """A transcription; every key is always there. Times are in milliseconds but for `audio_duration`."""

    id: str
    status: ResultStatus
    audio_url: str | None
    audio_duration: int | None
    """Seconds."""
    text: str | None
    words: list[WordJson] | None
    confidence: float | None
    utterances: list[UtteranceJson] | None
    """Where speakers were asked for and told apart."""
    language_code: str | None
    """As heard; before that as asked for."""
    language_detection: bool
    language_confidence: float | None
    punctuate: bool = True
    format_text: bool = True
    speaker_labels: bool
    speakers_expected: int | None
    webhook_url: str | None
    webhook_status_code: int | None
    """What the webhook's receiver answered last."""
    error: str | None
    created_at: str
    completed_at: str | None
    segments: list[SegmentJson] | None
    speakers: list[str] | None
    metadata: dict[str, Any] | None
    languages: list[str] | None
    """Those that were heard, the main one first."""
    warnings: list[Notice]
    """What of the request has no effect, and how the answer is less than was asked for."""


def queued(job: Job) -> QueuedJson:
    """The answer to who hands one in."""
    return QueuedJson(
        id=job.id,
        status=status(job),
        created_at=created(job),
        audio_url=job.source.url,
        estimated_completion=moment(job.progress.ends_at) if job.progress else None,
    )


def transcription(
    job: Job,
    transcript: Transcript | None,
    *,
    heard: Sequence[Segment] | None = None,
    deliveries: Sequence[Delivery] = (),
) -> TranscriptionJson:
    """A job's transcription. `transcript`: what came of it; or `heard`: what there is so far."""
    details = Details.of(job)
    found = lettered(transcript) if transcript else None
    segments = found.segments if found else heard
    asked = None if job.work.language == "auto" else job.work.language
    speakers = job.work.speakers and found is not None
    return TranscriptionJson(
        id=job.id,
        status=status(job),
        audio_url=job.source.url,
        audio_duration=_duration(job, transcript),
        text=None if segments is None else "".join(segment.text for segment in segments).strip(),
        words=None if segments is None else words(segments),
        confidence=confidence(segments or ()),
        utterances=utterances(segments or ()) if speakers else None,
        language_code=(transcript.language if transcript else None) or asked,
        language_detection=job.work.language == "auto",
        language_confidence=transcript.language_probability if transcript else None,
        speaker_labels=job.work.speakers,
        speakers_expected=job.work.hints.exactly,
        webhook_url=job.webhook_url,
        webhook_status_code=webhook_status(deliveries),
        error=failure(job),
        created_at=created(job),
        completed_at=moment(job.completed_at),
        segments=None if segments is None else [segment_json(segment) for segment in segments],
        speakers=sorted({turn.speaker for turn in found.turns}, key=_place) if found and speakers else None,
        metadata=details.metadata,
        languages=transcript.languages if transcript else None,
        warnings=[*details.warnings, *(transcript.warnings if transcript else ())],
    )


def webhook_status(deliveries: Sequence[Delivery]) -> int | None:
    """What the receiver answered last; None where it never did."""
    answers = [attempt.status for delivery in deliveries for attempt in delivery.attempts if attempt.status]
    return answers[-1] if answers else None


def _duration(job: Job, transcript: Transcript | None) -> int | None:
    if transcript:
        return int(transcript.duration)
    known = job.audio_duration_s or (job.progress.duration_s if job.progress else None)
    return None if known is None else int(known)


def _place(letter: str) -> tuple[int, str]:
    """A, ... Z, AA, ..."""
    return len(letter), letter


# ---- an example ----------------------------------------------------------------------------------

ID: Final = "780512cc-4141-4df3-9e61-93fc01f36743"
CREATED: Final = "2026-11-21T01:36:53.131716Z"

QUEUED: Final = {
    "id": ID,
    "status": "queued",
    "created_at": CREATED,
    "audio_url": None,
    "estimated_completion": None,
}
_WORD: Final = {"text": "Bonjour.", "start": 0, "end": 360, "confidence": 0.95, "speaker": "A"}
COMPLETED: Final[dict[str, Any]] = {
    "id": ID,
    "status": "completed",
    "audio_url": None,
    "audio_duration": 6,
    "text": "Bonjour.",
    "words": [_WORD],
    "confidence": 0.95,
    "utterances": [
        {"speaker": "A", "start": 0, "end": 360, "text": "Bonjour.", "confidence": 0.95, "words": [_WORD]}
    ],
    "language_code": "fr",
    "language_detection": False,
    "language_confidence": 0.98,
    "punctuate": True,
    "format_text": True,
    "speaker_labels": True,
    "speakers_expected": None,
    "webhook_url": None,
    "webhook_status_code": None,
    "error": None,
    "created_at": CREATED,
    "completed_at": "2026-11-21T01:36:58.000000Z",
    "segments": [
        {
            "id": 0,
            "text": "Bonjour.",
            "start": 0,
            "end": 360,
            "confidence": 0.95,
            "words": None,
            "speaker": "A",
            "language": None,
            "doubts": [],
        }
    ],
    "speakers": ["A"],
    "metadata": None,
    "languages": ["fr"],
    "warnings": [],
}
