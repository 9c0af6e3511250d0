"""What the daemon and its workers say to each other.

Over a stream socket pair, each message is a length (4 bytes, big-endian) and a MessagePack map whose
`type` names the struct. Recordings never travel here: paths do.

    daemon -> worker   Start, Job, Cancel, Ping, LogLevel, Stop
    worker -> daemon   Ready | StartFailed, Pong, Event, Done, Failed, DeviceFailed
"""

import struct
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from whisperd.codes import error_by_code
from whisperd.errors import WhisperdError
from whisperd.transcript.model import Detection, Diarization, Priority, Segment, SpeakerHints, Task

Kind = Literal["decode", "transcribe", "diarize", "translate"]

MAX_MESSAGE_BYTES: Final = 256 * 2**20
_LENGTH: Final = struct.Struct(">I")


# ---- what a worker is started with ---------------------------------------------------------------


class DecodeSetup(Struct, frozen=True, tag="decode"):
    """A decoder: how many recordings at once, and the longest one (seconds)."""

    concurrency: int
    max_duration_s: float
    stall_s: float = 300.0
    """A recording whose decoding makes no progress for so long is given up."""


class TranscribeSetup(Struct, frozen=True, tag="transcribe"):
    """A Whisper model on one device."""

    model: str
    model_dir: str
    device: Literal["cpu", "cuda"]
    device_index: int
    compute_type: str
    concurrency: int
    """Recordings at once; they share batches."""
    threads: int
    """CPU threads of each batch."""
    beam_size: int
    vad: bool
    batches: int = 1
    """Batches at once, each on a CTranslate2 worker of its own."""
    batch_size: int = 4
    """Chunks in a batch, at the most."""


class DiarizeSetup(Struct, frozen=True, tag="diarize"):
    """A diarization pipeline on one device."""

    model: str
    model_dir: str
    device: Literal["cpu", "cuda"]
    device_index: int
    threads: int


class TranslateSetup(Struct, frozen=True, tag="translate"):
    """A Marian model, which translates text from one language to another, on one device."""

    model: str
    model_dir: str
    device: Literal["cpu", "cuda"]
    device_index: int
    compute_type: str
    threads: int


Setup = DecodeSetup | TranscribeSetup | DiarizeSetup | TranslateSetup


# ---- jobs and their results ----------------------------------------------------------------------


class DecodeJob(Struct, frozen=True, tag="decode"):
    """Decode `source` to `target`: raw 16 kHz mono float32, native byte order."""

    source: str
    target: str


class Decoded(Struct, frozen=True, tag="decoded"):
    """A decoded recording of `samples` at 16 kHz."""

    samples: int
    container: str
    codec: str
    source_rate_hz: int
    channels: int
    truncated: bool = False
    """The file ended, or broke, before its own header said it would."""


class PadJob(Struct, frozen=True, tag="pad"):
    """Encode `source` to `target`, WebM with Opus, after `silence_s` seconds of silence."""

    source: str
    target: str
    silence_s: float


class MixJob(Struct, frozen=True, tag="mix"):
    """Mix recordings to one MP3 at `target`, each after its delay (seconds, as many as sources)."""

    sources: list[str]
    target: str
    delays_s: list[float]
    sample_rate_hz: int | None
    """None is the first recording's own."""


class Encoded(Struct, frozen=True, tag="encoded"):
    """A recording that was written, and how long it lasts in seconds."""

    duration_s: float


class TranscribeJob(Struct, frozen=True, tag="transcribe"):
    """Transcribe the decoded recording at `audio`."""

    audio: str
    samples: int
    task: Task
    language: str | None
    words: bool
    prompt: str | None
    hotwords: str | None
    temperature: float | None
    beam_size: int | None
    languages: list[str] = []
    """Where `language` is None, the one that is detected is one of these; empty means any."""
    detection: Detection = Detection()
    priority: Priority = "high"
    multilingual: bool = False
    condition_on_previous_text: bool = False
    drop_doubted: bool = False


class Transcribed(Struct, frozen=True, tag="transcribed"):
    """The text, with times; `language` is None when no speech was found to tell it by."""

    language: str | None
    language_probability: float | None
    segments: list[Segment]
    dropped: int = 0
    """Segments that were left out because of doubts."""


class Voice(Struct, frozen=True):
    """A decoded recording of somebody whose name is known."""

    name: str
    audio: str
    samples: int


class DiarizeJob(Struct, frozen=True, tag="diarize"):
    """Tell the speakers apart in the decoded recording at `audio`, those of known `voices` by their names."""

    audio: str
    samples: int
    hints: SpeakerHints
    voices: list[Voice] = []


class Diarized(Struct, frozen=True, tag="diarized"):
    """Who spoke when."""

    diarization: Diarization


class TranslateJob(Struct, frozen=True, tag="translate"):
    """Translate texts, each by itself."""

    texts: list[str]


class Translated(Struct, frozen=True, tag="translated"):
    """The translations, in the order of the texts."""

    texts: list[str]


AnyJob = DecodeJob | PadJob | MixJob | TranscribeJob | DiarizeJob | TranslateJob
AnyResult = Decoded | Encoded | Transcribed | Diarized | Translated


# ---- messages ------------------------------------------------------------------------------------


class Start(Struct, frozen=True, tag=True):
    """The first message to a worker: load this."""

    setup: Setup
    log_level: str


class Job(Struct, frozen=True, tag=True):
    """Do this; `id` comes back with everything that is said about it."""

    id: int
    job: AnyJob


class Cancel(Struct, frozen=True, tag=True):
    """Nobody waits for this job any more."""

    id: int


class Ping(Struct, frozen=True, tag=True):
    """Are you alive?"""

    number: int


class LogLevel(Struct, frozen=True, tag=True):
    """Log from this level on."""

    level: str


class Stop(Struct, frozen=True, tag=True):
    """Finish nothing more and exit."""


class MappedLibrary(Struct, frozen=True):
    """A CUDA library in the worker's address space, and whether it is one that the daemon chose."""

    path: str
    chosen: bool


class Ready(Struct, frozen=True, tag=True):
    """Loaded, and tried out on the device."""

    load_s: float
    libraries: list[MappedLibrary] = []
    languages: list[str] = []
    """Languages that the loaded model knows; empty where that says nothing."""


class StartFailed(Struct, frozen=True, tag=True):
    """Could not load. `permanent` means that trying again won't help."""

    message: str
    permanent: bool


class Pong(Struct, frozen=True, tag=True):
    """Alive; `stalled_s` is how long the oldest running job has made no progress (0 when idle)."""

    number: int
    stalled_s: float
    rss_bytes: int


class Event(Struct, frozen=True, tag=True):
    """Progress of a job: seconds of the recording that are done, and the segment that came of them."""

    id: int
    position_s: float
    segment: Segment | None = None


class Done(Struct, frozen=True, tag=True):
    """A job's result."""

    id: int
    result: AnyResult


class Failed(Struct, frozen=True, tag=True):
    """A job's failure: the code of the error in `whisperd.errors`, and words for the caller."""

    id: int
    code: str
    message: str
    param: str | None = None
    """The part of the request that was wrong, where it was that."""

    def error(self) -> WhisperdError:
        """As it is raised to the caller."""
        return error_by_code(self.code, self.message, self.param)


class DeviceFailed(Struct, frozen=True, tag=True):
    """The device fails whatever this process asks of it from now on; only another process can use it."""

    message: str


ToWorker = Start | Job | Cancel | Ping | LogLevel | Stop
ToDaemon = Ready | StartFailed | Pong | Event | Done | Failed | DeviceFailed

_encoder: Final = msgspec.msgpack.Encoder()
_to_worker: Final = msgspec.msgpack.Decoder(ToWorker)
_to_daemon: Final = msgspec.msgpack.Decoder(ToDaemon)


def encode(message: ToWorker | ToDaemon) -> bytes:
    """Frame one message."""
    body = _encoder.encode(message)
    if len(body) > MAX_MESSAGE_BYTES:
        raise ValueError(f"message of {len(body)} bytes; the limit is {MAX_MESSAGE_BYTES}")
    return _LENGTH.pack(len(body)) + body


def frame_length(header: bytes) -> int:
    """Bytes that follow the 4-byte `header`. Raises ValueError when there are too many."""
    (length,) = _LENGTH.unpack(header)
    if length > MAX_MESSAGE_BYTES:
        raise ValueError(f"message of {length} bytes announced; the limit is {MAX_MESSAGE_BYTES}")
    return int(length)


def decode_to_worker(body: bytes) -> ToWorker:
    """Read a message to a worker. Raises msgspec.ValidationError."""
    message: Any = _to_worker.decode(body)
    return message  # type: ignore[no-any-return]


def decode_to_daemon(body: bytes) -> ToDaemon:
    """Read a message to the daemon. Raises msgspec.ValidationError."""
    message: Any = _to_daemon.decode(body)
    return message  # type: ignore[no-any-return]


HEADER_BYTES: Final = _LENGTH.size
SAMPLE_RATE_HZ: Final = 16_000
