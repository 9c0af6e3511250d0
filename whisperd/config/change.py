"""What a reload does with a new configuration: what can change while the daemon runs, and what can't."""

from dataclasses import replace
from typing import NamedTuple

from whisperd.config.conflicts import conflicts
from whisperd.config.schema import OPTIONS, Config, Option


class Changes(NamedTuple):
    """Dotted paths of the options that differ, in the order of the file."""

    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]


def changes(old: Config, new: Config) -> Changes:
    """What becomes of each difference when `merged(old, new)` takes the place of `old`."""
    now = merged(old, new)
    return Changes(applied=_differences(old, now), needs_restart=_differences(now, new))


def merged(old: Config, new: Config) -> Config:
    """`old` with the live options of `new`."""
    result = old
    for option in OPTIONS.values():
        if option.live:
            result = _taken(result, option, new)
    # Open sockets speak TLS, or don't; another certificate they can be given.
    if (old.server.tls_certificate == "none") != (new.server.tls_certificate == "none"):
        for path in ("server.tls_certificate", "server.tls_key"):
            result = _taken(result, OPTIONS[path], old)
    # A live option may not go together with the old value of one that isn't live: it waits for the restart.
    for conflict in list(conflicts(result)):
        for path in conflict.paths:
            result = _taken(result, OPTIONS[path], old)
    return result


def _taken(config: Config, option: Option, source: Config) -> Config:
    section = replace(getattr(config, option.section), **{option.key: option.of(source)})
    return replace(config, **{option.section: section})


def _differences(one: Config, other: Config) -> tuple[str, ...]:
    return tuple(path for path, option in OPTIONS.items() if option.of(one) != option.of(other))
