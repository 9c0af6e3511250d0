"""What goes in and what comes out: the two values that cross the service's door, and their parts.

Every time is in seconds (float) from the start of the recording.
"""

from pathlib import Path
from typing import Final, Literal, get_args

from msgspec import Struct

Task = Literal["transcribe", "translate"]
Priority = Literal["high", "normal", "low"]
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
"""In the order in which their work is taken; `high` is for somebody who waits for the answer."""

Doubt = Literal["repeated", "improbable", "no_speech", "no_voice"]
"""What speaks against a text: it goes in circles; the decoder did not trust it, or the sound does not bear
its words out; the decoder thought that there was no speech; a detector of speech hears none."""


class SpeakerHints(Struct, frozen=True):
    """What the caller knows about the number of speakers; None is unknown."""

    exactly: int | None = None
    at_least: int | None = None
    at_most: int | None = None


class Detection(Struct, frozen=True, kw_only=True):
    """How speech is told from what is none; None is the engine's own value."""

    threshold: float | None = None
    """Probability from which on a stretch is speech, 0 to 1."""
    min_silence_ms: int | None = None
    """A shorter silence does not end a stretch of speech."""
    padding_ms: int | None = None
    """Kept on both sides of a stretch."""


class KnownSpeaker(Struct, frozen=True):
    """Somebody whose voice the caller knows: the name to use, and a recording of that voice alone."""

    name: str
    audio: Path


class Request(Struct, frozen=True, kw_only=True):
    """What is wanted from one recording."""

    audio: Path
    """The recording as it was sent, in a private directory of the spool."""
    text: bool = True
    """Transcribe; False asks for speakers alone."""
    task: Task = "transcribe"
    language: str | None = None
    """Whisper's code (`en`), `auto` to detect it, or None for the configured one."""
    languages: tuple[str, ...] = ()
    """Where the language is detected, it is one of these; empty means any."""
    multilingual: bool = False
    """The language may change on the way: each part is written in its own."""
    detection: Detection = Detection()
    condition_on_previous_text: bool = False
    """Let the decoder know what was said before, one stretch after the other: slower, more consistent."""
    drop_doubted: bool = False
    """Leave out what there are doubts about, in place of marking it."""
    words: bool = False
    """Word times wanted in the reply. Asking for speakers and text implies them inside."""
    speakers: bool = False
    hints: SpeakerHints = SpeakerHints()
    known_speakers: tuple[KnownSpeaker, ...] = ()
    """Speakers who are recognized get these names; the others stay strangers."""
    model: str | None = None
    """None is the configured model."""
    device: Literal["cpu"] | None = None
    """The CPU although there is a GPU; None is the configured device."""
    prompt: str | None = None
    hotwords: str | None = None
    temperature: float | None = None
    """None or 0 climbs the ladder of temperatures; above 0 is fixed."""
    beam_size: int | None = None
    priority: Priority = "high"
    deadline_s: float | None = None
    """Seconds from admission after which nobody waits for the answer; None is the configured limit."""
    patient: bool = False
    """Wait, rather than be refused, while a worker is being started again, or there is much to do."""
    client: str = ""
    """Who asks, a key or an address: each has a fair share."""


class Word(Struct, frozen=True):
    """One word, `start <= end`."""

    text: str
    """As Whisper writes it, with its leading space."""
    start: float
    end: float
    probability: float
    speaker: str | None = None


class Segment(Struct, frozen=True, kw_only=True):
    """A stretch of text with the decoder's own evidence about it."""

    id: int
    start: float
    end: float
    text: str
    """With Whisper's leading space."""
    words: list[Word] = []
    speaker: str | None = None
    seek: int = 0
    """Start of the decoder's window, in frames of 10 ms."""
    tokens: list[int] = []
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0
    doubts: list[Doubt] = []
    language: str | None = None
    """Where it is not the transcript's."""


class Turn(Struct, frozen=True):
    """One speaker talking without a break. Turns may overlap."""

    start: float
    end: float
    speaker: str


class Diarization(Struct, frozen=True):
    """Who spoke when: `turns` with overlaps, `exclusive` with one speaker at a time."""

    turns: list[Turn]
    exclusive: list[Turn]


class Notice(Struct, frozen=True):
    """Something about the answer that is less than was asked for."""

    code: str
    """For programs: `diarization_failed`, `audio_truncated`, `text_doubted`, `text_dropped`, ..."""
    message: str


class Timings(Struct, frozen=True, kw_only=True):
    """Wall seconds by stage. Transcription and diarization overlap: the stages may sum to more than total."""

    queued_s: float = 0.0
    decode_s: float = 0.0
    transcribe_s: float = 0.0
    diarize_s: float = 0.0
    total_s: float = 0.0

    @property
    def wall_s(self) -> float:
        """What the recording took, without waiting for its turn."""
        return max(0.0, self.total_s - self.queued_s)

    @property
    def device_s(self) -> float:
        """Of that, what the models took; those of text and of speakers may work at the same time."""
        return self.transcribe_s + self.diarize_s


class Transcript(Struct, frozen=True, kw_only=True):
    """The answer, whatever dialect it is told in."""

    duration: float
    """Seconds of the whole recording."""
    task: Task = "transcribe"
    language: str | None = None
    """Whisper's code; None when no text was asked for or no speech was found to tell it by."""
    language_probability: float | None = None
    segments: list[Segment] = []
    turns: list[Turn] = []
    model: str | None = None
    device: str | None = None
    compute_type: str | None = None
    timings: Timings = Timings()
    warnings: list[Notice] = []

    @property
    def text(self) -> str:
        """The whole text, trimmed."""
        return "".join(segment.text for segment in self.segments).strip()

    @property
    def languages(self) -> list[str]:
        """The languages that were heard, the main one first."""
        heard = (self.language, *(segment.language for segment in self.segments))
        return list(dict.fromkeys(code for code in heard if code))

    @property
    def words(self) -> list[Word]:
        """All words in order."""
        return [word for segment in self.segments for word in segment.words]
