"""The sections for what stands around the engine: other servers, keys, jobs, webhooks, a language model."""
# ruff: noqa: RUF009 - `option` makes a dataclass field, as `dataclasses.field` does

from dataclasses import dataclass
from typing import Literal

from whisperd.config.kinds import (
    Auto,
    BaseUrl,
    Bytes,
    CertificateFile,
    Count,
    Destination,
    ModelAlias,
    Network,
    Nothing,
    ProxyUrl,
    SecretFile,
    Time,
)
from whisperd.config.option import option
from whisperd.config.units import Duration, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Recordings that requests name by URL, and results that they want sent to one."""

    allow: tuple[Destination, ...] = option(
        (),
        'Hosts ("garage", "*.lan.example") and networks ("192.168.1.0/24") that may be used although they '
        "are private. Addresses of the internet may always be.",
        live=True,
    )
    timeout: Time = option(Duration("10min"), "Longest time for one transfer.", live=True)
    idle: Time = option(
        Duration("30s"), "A server that sends or takes nothing for so long is given up.", live=True
    )
    ca_file: Nothing | CertificateFile = option(
        "none",
        "A file with certificates of authorities (PEM) that are trusted beside the system's: for these URLs, "
        "webhooks and llm.url. A reload reads it again.",
        live=True,
    )
    proxy: Nothing | ProxyUrl = option(
        "none",
        'A proxy, "http://HOST:PORT", for what is on the internet: these URLs, webhooks and llm.url. Private '
        "addresses are connected to without it. None is taken from the environment.",
        live=True,
    )
    proxy_login_file: Nothing | SecretFile = option(
        "none", 'A file with the user and the password for that proxy, "USER:PASSWORD".', live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may ask for anything, and how often. Keys are made with `whisperd keys`."""

    require_key: Literal["auto", "always", "never"] = option(
        "auto",
        'Whether requests need a key. With "auto", while there is no key, private networks are served '
        "without one and every other address is refused; as soon as there is a key it is required.",
        live=True,
    )
    trusted_networks: tuple[Network, ...] = option(
        (), 'Networks that need no key, whatever the above says: "192.168.1.0/24".', live=True
    )
    static_key_file: Nothing | SecretFile = option(
        "none", "A file with one more key, of any form: the one that Reflector's servers are given."
    )
    burst: Count = option(
        10, "Requests that a key may send at once beyond its rate, which is for each minute.", live=True
    )
    keep_usage: Time = option(
        Duration("90d"), "Rows of usage that are older are folded into sums for each day.", live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Recordings that are worked on after their senders have gone."""

    running: Auto | Count = option(
        "auto", 'Jobs worked on at once; "auto" is half of the recordings that are transcribed at once.'
    )
    attempts: Count = option(
        3, "Attempts at a job before it fails; one that ended with the daemon is one.", live=True
    )
    deadline: Time = option(
        Duration("7d"),
        "Longest time from a job's coming to its end, where it names none; then it fails.",
        live=True,
    )
    keep_audio: Duration = option(
        Duration("1d"), "How long a recording is kept after its job has ended.", live=True
    )
    keep_results: Time = option(
        Duration("30d"), "How long a job and its transcript are kept after its end.", live=True
    )
    disk_reserve: Bytes = option(
        Size("1GiB"),
        "Room on the disk that jobs leave free: when it is short, recordings and then results go before "
        "their time, the oldest first, and no new job is taken.",
        live=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Telling other programs that a job has ended. Private addresses need fetch.allow."""

    timeout: Time = option(Duration("30s"), "Longest time for one attempt.", live=True)
    retry_for: Time = option(
        Duration("24h"), "How long attempts go on, at growing intervals, before one is given up.", live=True
    )
    secret_file: Nothing | SecretFile = option(
        "none",
        "A file with the secret from which each owner's signing secret is made; by default one is made "
        "in paths.state.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Llm:
    """A language model's server, which /v1/chat/completions passes requests on to."""

    url: Nothing | BaseUrl = option(
        "none", 'Base URL of an OpenAI-compatible server, such as "http://127.0.0.1:11434/v1".', live=True
    )
    models: tuple[ModelAlias, ...] = option(
        (),
        'Its models under names of your own: "NAME=MODEL". Without any, names are passed on as they are.',
        live=True,
    )
    key_file: Nothing | SecretFile = option("none", "A file with the key for that server.")
    timeout: Time = option(
        Duration("2min"), "A server that sends nothing for so long is given up.", live=True
    )
    answer: Bytes = option(
        Size("64MiB"), "Largest answer of that server, a stream's too; a larger one is broken off.", live=True
    )
