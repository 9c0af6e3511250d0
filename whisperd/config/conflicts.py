"""Combinations of options that can't be had, though each of them is fine by itself."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from whisperd.config.kinds import UNIX_PATH_BYTES, HostPort, parse_address
from whisperd.config.schema import Config

GPU_COMPUTE_TYPES: Final = ("int8_float16", "int8_bfloat16", "float16", "bfloat16")
_ANY_HOST: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound
"""Each stands for all addresses of its family."""


class Conflict(NamedTuple):
    """Options that don't go together; the first is the one to blame."""

    paths: tuple[str, ...]
    message: str


def conflicts(config: Config) -> Iterator[Conflict]:
    """Find every one."""
    yield from _addresses(config)
    yield from _tls(config)
    yield from _proxy(config)
    yield from _directories(config)
    yield from _transcription(config)
    yield from _supervision(config)


def _addresses(config: Config) -> Iterator[Conflict]:
    path = "server.listen"
    seen: list[HostPort | Path] = []
    if not config.server.listen:
        yield Conflict((path,), "names no address; give at least one")
    for text in config.server.listen:
        address = parse_address(text)
        if other := next((other for other in seen if _overlap(address, other)), None):
            same = "is listed twice" if other == address else f"is taken by {_written(other)} already"
            yield Conflict((path,), f'"{text}" {same}')
        if address == config.paths.control_socket:
            yield Conflict((path, "paths.run"), f'"{text}" is where the control socket lies')
        seen.append(address)


def _tls(config: Config) -> Iterator[Conflict]:
    certificate, key = "server.tls_certificate", "server.tls_key"
    if config.server.tls_certificate != "none" and config.server.tls_key == "none":
        yield Conflict((certificate, key), f"needs its private key: set {key} too")
    if config.server.tls_key != "none" and config.server.tls_certificate == "none":
        yield Conflict((key, certificate), f"is the key of nothing: set {certificate} too")


def _proxy(config: Config) -> Iterator[Conflict]:
    proxy, login = "fetch.proxy", "fetch.proxy_login_file"
    if config.fetch.proxy_login_file != "none" and config.fetch.proxy == "none":
        yield Conflict((login, proxy), f"is for no proxy: set {proxy} too")


def _overlap(one: HostPort | Path, other: HostPort | Path) -> bool:
    """Could only the first of the two be had?"""
    if isinstance(one, Path) or isinstance(other, Path):
        return one == other
    if one.port != other.port or one.port == 0:
        return False
    if one.host == other.host:
        return True
    return not _ANY_HOST.isdisjoint((one.host, other.host)) and _family(one.host) == _family(other.host)


def _family(host: str) -> str:
    return "IPv6" if ":" in host else "IPv4" if re.fullmatch("[0-9.]+", host) else host


def _written(address: HostPort | Path) -> str:
    if isinstance(address, Path):
        return f'"unix:{address}"'
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f'"{host}:{address.port}"'


def _directories(config: Config) -> Iterator[Conflict]:
    paths = config.paths
    for name, other in (("paths.state", paths.state), ("paths.run", paths.run)):
        if other.is_relative_to(paths.spool):
            yield Conflict(
                ("paths.spool", name),
                f'paths.spool ("{paths.spool}") is emptied at every start, and {name} ("{other}") lies in it',
            )
    if len(str(paths.control_socket).encode()) > UNIX_PATH_BYTES:
        yield Conflict(
            ("paths.run",),
            f'"{paths.control_socket}" is too long for a socket: {UNIX_PATH_BYTES} bytes is the limit',
        )


def _transcription(config: Config) -> Iterator[Conflict]:
    transcribe = config.transcribe
    if transcribe.device == "cpu" and transcribe.compute_type in GPU_COMPUTE_TYPES:
        yield Conflict(
            ("transcribe.compute_type", "transcribe.device"),
            f'"{transcribe.compute_type}" is for a GPU, and transcribe.device is "cpu", '
            'which has "int8", "int8_float32" and "float32"',
        )
    if transcribe.model.endswith(".en") and transcribe.language not in ("auto", "en"):
        yield Conflict(
            ("transcribe.language", "transcribe.model"),
            f'transcribe.model ("{transcribe.model}") knows English alone, and '
            f'transcribe.language is "{transcribe.language}"',
        )


def _supervision(config: Config) -> Iterator[Conflict]:
    workers = config.workers
    if workers.ping_timeout < workers.ping_interval:
        yield Conflict(
            ("workers.ping_timeout", "workers.ping_interval"),
            f"workers.ping_timeout ({workers.ping_timeout}) is shorter than "
            f"workers.ping_interval ({workers.ping_interval})",
        )
