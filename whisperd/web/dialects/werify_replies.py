"""What the werify app's server answers. Every key is always there, but for warnings and speakers."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from whisperd.status import Status, Tally
from whisperd.transcript.model import Notice, Transcript


class SegmentJson(Struct, frozen=True, kw_only=True):
    """A segment; seconds."""

    start: float
    end: float
    text: str
    speaker: str | UnsetType = UNSET


class TranscriptJson(Struct, frozen=True, kw_only=True):
    """One recording."""

    text: str
    language: str | None
    duration: float
    processing_time: float
    """Seconds, without the wait."""
    queue_wait_time: float
    """Seconds."""
    segments: list[SegmentJson] | None
    """Null unless `include_segments` asked for them."""
    warnings: list[Notice] | UnsetType = UNSET


class BatchEntry(Struct, frozen=True, kw_only=True):
    """A recording of a batch: what a single one is answered with, or `error` alone."""

    filename: str
    text: str | UnsetType = UNSET
    language: str | UnsetType | None = UNSET
    processing_time: float | UnsetType = UNSET
    queue_wait_time: float | UnsetType = UNSET
    segments: list[SegmentJson] | UnsetType | None = UNSET
    warnings: list[Notice] | UnsetType = UNSET
    error: str | UnsetType = UNSET


class BatchJson(Struct, frozen=True, kw_only=True):
    """Several recordings, in the order they were sent."""

    total_files: int
    total_processing_time: float
    """Seconds."""
    results: list[BatchEntry]


class QueueJson(Struct, frozen=True, kw_only=True):
    """Requests since the start, of all clients."""

    current_queue_size: int
    """Those being worked on and those that wait."""
    total_processed: int
    total_queued: int
    last_processed_at: str | None
    """Local time, without a zone."""
    is_processing: bool


EXAMPLE: Final = {
    "text": "Hello world.",
    "language": "en",
    "duration": 5.24,
    "processing_time": 2.0,
    "queue_wait_time": 0.0,
    "segments": [{"start": 0.0, "end": 2.5, "text": "Hello world."}],
}
BATCH_EXAMPLE: Final = {
    "total_files": 2,
    "total_processing_time": 2.0,
    "results": [
        {
            "filename": "a.mp3",
            "text": "Hello world.",
            "language": "en",
            "processing_time": 2.0,
            "queue_wait_time": 0.0,
            "segments": None,
        },
        {"filename": "b.txt", "error": "Unsupported file type: .txt"},
    ],
}


def transcript_json(transcript: Transcript, warnings: list[Notice], *, with_segments: bool) -> TranscriptJson:
    """The reply for one recording."""
    return TranscriptJson(
        text=transcript.text,
        language=transcript.language,
        duration=round(transcript.duration, 2),
        processing_time=round(transcript.timings.wall_s, 2),
        queue_wait_time=round(transcript.timings.queued_s, 2),
        segments=_segments(transcript) if with_segments else None,
        warnings=warnings or UNSET,
    )


def batch_entry(filename: str, one: TranscriptJson) -> BatchEntry:
    """The same as an entry of a batch."""
    return BatchEntry(
        filename=filename,
        text=one.text,
        language=one.language,
        processing_time=one.processing_time,
        queue_wait_time=one.queue_wait_time,
        segments=one.segments,
        warnings=one.warnings,
    )


def queue(status: Status, tally: Tally) -> QueueJson:
    """How busy the service is."""
    last = tally.last_processed_at
    return QueueJson(
        current_queue_size=status.running + status.waiting,
        total_processed=tally.processed,
        total_queued=tally.queued,
        last_processed_at=last.astimezone().replace(tzinfo=None).isoformat() if last else None,
        is_processing=status.running > 0,
    )


def _segments(transcript: Transcript) -> list[SegmentJson]:
    return [
        SegmentJson(
            start=round(segment.start, 2),
            end=round(segment.end, 2),
            text=segment.text.strip(),
            speaker=segment.speaker or UNSET,
        )
        for segment in transcript.segments
    ]
