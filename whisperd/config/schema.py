"""Every option of `/etc/whisperd.toml`: its type, default and meaning. Nothing else knows a default.

A section is a frozen dataclass; a field is an option. The type says how the value is written:
`Duration` ("30s", "5min"), `Size` ("2GiB"), or what TOML itself has.
"""
# ruff: noqa: RUF009 - `option` makes a dataclass field, as `dataclasses.field` does

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from whisperd.config.gateway import Access, Fetch, Jobs, Llm, Webhooks
from whisperd.config.kinds import (
    Address,
    Auto,
    Bytes,
    CertificateFile,
    Count,
    Device,
    Directory,
    Installed,
    Language,
    Model,
    Nothing,
    Proxy,
    SecretFile,
    Time,
    WebOrigin,
)
from whisperd.config.option import option
from whisperd.config.units import Duration, Size

Level = Literal["debug", "info", "warning", "error"]

ComputeType = Literal[
    "auto", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "float16", "bfloat16", "float32"
]
COMPUTE_TYPES: tuple[str, ...] = get_args(ComputeType)

DialectName = Literal["openai", "reflector", "werify", "flask", "lexia"]
DIALECTS: Final[tuple[DialectName, ...]] = get_args(DialectName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where clients connect, and how the daemon stops."""

    listen: tuple[Address, ...] = option(
        ("0.0.0.0:8000",),
        'Addresses to listen on: "HOST:PORT", "[IPv6]:PORT" or "unix:/PATH". '
        "Not used under socket activation.",
    )
    tls_certificate: Nothing | CertificateFile = option(
        "none",
        "A file with the server's certificate and, behind it, those that lead to its authority (PEM). With "
        "it TCP addresses speak HTTPS alone; Unix sockets never do. A reload reads it and the key again; to "
        "switch TLS on or off takes a restart.",
        live=True,
    )
    tls_key: Nothing | SecretFile = option(
        "none", "The file with the certificate's private key (PEM), which has no passphrase.", live=True
    )
    hsts: Duration = option(
        Duration("0s"),
        "How long browsers are to keep to HTTPS for this host (Strict-Transport-Security), told over HTTPS "
        "alone; 0 tells them nothing.",
        live=True,
    )
    trusted_proxies: tuple[Proxy, ...] = option(
        (),
        'Proxies in front: networks ("127.0.0.1/32"), and "unix" for whoever connects to a Unix socket. '
        "What they say of a request's sender, scheme and host counts (X-Forwarded-For, -Proto and -Host; "
        "Forwarded).",
        live=True,
    )
    drain_timeout: Duration = option(
        Duration("30s"), "How long running requests may go on after a stop was asked for.", live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Directories. systemd makes the default ones."""

    state: Directory = option(Path("/var/lib/whisperd"), "What must last: models, jobs, keys.")
    spool: Directory = option(
        Path("/var/cache/whisperd/spool"), "Uploads while they are worked on; emptied at start."
    )
    run: Directory = option(Path("/run/whisperd"), "The control socket.")

    @property
    def control_socket(self) -> Path:
        """Where the administrator's own commands reach the running daemon."""
        return self.run / "control.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Who is spoken to, and how."""

    dialects: tuple[DialectName, ...] = option(
        DIALECTS, "Families of clients that are served; the paths of the others do not exist."
    )
    cors_origins: tuple[WebOrigin, ...] = option(
        (),
        'Sites whose pages may use this server from a browser: "https://app.example", or "*" for all.',
        live=True,
    )
    word_spaces: Literal["auto", "always", "never"] = option(
        "auto",
        "Whether the words of /v1/audio/transcriptions keep the space before them, which Reflector needs and "
        'OpenAI trims; "auto" keeps it where no format was asked for, and in verbose_json with the times of '
        "words alone.",
        live=True,
    )
    keep_downloads: Time = option(
        Duration("1h"), "How long the links of the Flask transcriber's replies work.", live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one caller may ask for."""

    upload: Bytes = option(Size("2GiB"), "Largest upload.", live=True)
    duration: Time = option(Duration("12h"), "Longest recording.")
    waiting: Count = option(
        64,
        "Requests that may wait for their turn; more are refused with 503, and with 429 those of one key or "
        "address that leave little room for others.",
        live=True,
    )
    wait: Time = option(
        Duration("1h"),
        "Longest time from a request's arrival to its answer. One that could not be answered in it, by what "
        "is to be done before and how fast that goes, is refused with 503; one that was not fails with 504.",
        live=True,
    )
    head: Time = option(
        Duration("20s"),
        "Longest time for the head of a request to come, on a new connection from its beginning on, with the "
        "handshake of TLS; one that takes longer loses the connection.",
        live=True,
    )
    upload_idle: Time = option(
        Duration("60s"), "An upload that sends nothing for so long is given up.", live=True
    )
    upload_rate: Bytes = option(
        Size("1KiB"),
        "Least that an upload sends in a second, over the time above; one that is slower is given up.",
        live=True,
    )
    disk_reserve: Bytes = option(
        Size("256MiB"),
        "Room on the disk that uploads and downloads leave free; those that would not are refused with 503.",
        live=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcribe:
    """Speech to text."""

    model: Model = option(
        "auto", 'A name from `whisperd models list`, or "auto": large-v3-turbo on a GPU, base on the CPU.'
    )
    device: Device = option(
        "auto",
        '"auto", "cpu", "cuda", "cuda:N", several cards ("cuda:0,cuda:1") or "cuda:all". Each card has the '
        "model, and a recording goes to the one with the least to do. With any of these but the first two a "
        "start without a usable GPU fails; it never falls back.",
    )
    compute_type: ComputeType = option(
        "auto", 'Arithmetic: "auto", ' + ", ".join(f'"{name}"' for name in COMPUTE_TYPES[1:]) + "."
    )
    models: Installed | tuple[Model, ...] = option(
        "installed",
        "Other models that a request may name; each is loaded when one does, and ended when it idles "
        '(workers.keep_alive). "installed" is every Whisper model there is.',
        live=True,
    )
    translate_model: Nothing | Model = option(
        "none",
        "The model that translates speech to English where the one above was not trained to (large-v3-turbo, "
        'distil-large-v3 and those in .en were not): "medium" or "large-v3", for instance.',
    )
    language: Language = option(
        "auto", 'Spoken language when a request names none: a code, or "auto".', live=True
    )
    beam_size: Count = option(5, "Beam size when a request names none.")
    vad: bool = option(True, "Skip what is not speech before decoding it.")
    concurrency: Auto | Count = option(
        "auto", 'Recordings in hand at once, which share batches; "auto" is 32.'
    )
    batches: Auto | Count = option(
        "auto", 'Batches computed at once; "auto" is the cores on a CPU, 1 on a GPU.'
    )
    batch_size: Auto | Count = option(
        "auto",
        'Chunks of speech, up to 30 s each, in a batch; "auto" is 4 on a CPU, and what fits, '
        "up to 16, on a GPU.",
    )
    threads: Auto | Count = option("auto", 'CPU threads of each batch; "auto" is 1.')


@dataclass(frozen=True, slots=True, kw_only=True)
class Diarize:
    """Who spoke when."""

    enabled: bool = option(True, "Load the diarization pipeline.")
    model: Model = option(
        "diarization", "A name from `whisperd models list`, or a directory with a pipeline."
    )
    device: Device = option(
        "auto",
        '"auto" (as the transcription\'s), "cpu", "cuda", "cuda:N", several cards ("cuda:0,cuda:1") or '
        '"cuda:all".',
    )
    threads: Auto | Count = option(
        "auto", 'CPU threads; "auto" is the cores, 8 at most, on a CPU, and 1 on a GPU.'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuda:
    """NVIDIA's libraries."""

    library_dirs: tuple[Directory, ...] = option(
        (), "Directories with CUDA libraries, searched before the package's own."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The supervision of the engine's processes."""

    ping_interval: Time = option(Duration("5s"), "Time between two pings.", live=True)
    ping_timeout: Time = option(
        Duration("20s"), "A worker that leaves a ping unanswered for so long is killed.", live=True
    )
    stall_timeout: Time = option(
        Duration("10min"), "A worker whose job makes no progress for so long is killed.", live=True
    )
    start_timeout: Time = option(Duration("10min"), "Longest time for a worker to load its model.")
    memory_growth: Bytes = option(
        Size("4GiB"),
        "Memory that a worker may hold beyond what it took when it was loaded. One that holds more is given "
        "no more work, and is started anew when it has none left.",
        live=True,
    )
    keep_alive: Time = option(
        Duration("5min"),
        "How long a worker that was started for a request stays without another. Those for transcribe.model "
        "and diarize.model stay until they are unloaded.",
        live=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What goes to the journal."""

    level: Level = option(
        "info", 'Least severe messages to log: "debug", "info", "warning" or "error".', live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration."""

    server: Server = field(default_factory=Server)
    paths: Paths = field(default_factory=Paths)
    api: Api = field(default_factory=Api)
    fetch: Fetch = field(default_factory=Fetch)
    access: Access = field(default_factory=Access)
    jobs: Jobs = field(default_factory=Jobs)
    webhooks: Webhooks = field(default_factory=Webhooks)
    llm: Llm = field(default_factory=Llm)
    limits: Limits = field(default_factory=Limits)
    transcribe: Transcribe = field(default_factory=Transcribe)
    diarize: Diarize = field(default_factory=Diarize)
    cuda: Cuda = field(default_factory=Cuda)
    workers: Workers = field(default_factory=Workers)
    log: Log = field(default_factory=Log)


class Option(NamedTuple):
    """What the schema says of one option."""

    section: str
    key: str
    kind: Any
    """Its type, with the checks of `whisperd.config.kinds`."""
    default: Any
    doc: str
    live: bool

    @property
    def path(self) -> str:
        """The dotted path, as in `limits.upload`."""
        return f"{self.section}.{self.key}"

    def of(self, config: Config) -> Any:
        """The option's value in a configuration."""
        return getattr(getattr(config, self.section), self.key)


def _options(section: str, kind: type[Any]) -> list[Option]:
    return [
        Option(section, each.name, each.type, each.default, each.metadata["doc"], each.metadata["live"])
        for each in fields(kind)
    ]


SECTIONS: Final[Mapping[str, type[Any]]] = {
    section.name: section.type for section in fields(Config) if isinstance(section.type, type)
}

OPTIONS: Final[Mapping[str, Option]] = {
    each.path: each for section, kind in SECTIONS.items() for each in _options(section, kind)
}
"""Every option by its dotted path, in the order of the file."""
