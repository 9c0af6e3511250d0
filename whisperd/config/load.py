"""From `/etc/whisperd.toml`, its drop-ins and the environment to one configuration, or to all the mistakes.

A later source wins: the file, `/etc/whisperd.toml.d/*.toml` in lexical order, variables of older systems,
and `WHISPERD_SECTION__KEY`.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from whisperd.config.conflicts import Conflict, conflicts
from whisperd.config.schema import OPTIONS, SECTIONS, Config
from whisperd.config.sources import (
    Finding,
    Mistake,
    Table,
    drop_ins,
    from_environment,
    from_table,
    read_file,
)
from whisperd.config.values import from_toml
from whisperd.errors import ConfigError

DEFAULT_PATH: Final = Path("/etc/whisperd.toml")


class Reading(NamedTuple):
    """A configuration and, by dotted path, the file or variable of each option that is not at its default."""

    config: Config
    origins: Mapping[str, str]


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration; None is the default path, whose absence means defaults.

    Raises ConfigError with every mistake, a line each: where it stands, the dotted path, what is wrong.
    """
    return read(path, environ).config


def read(
    path: Path | None, environ: Mapping[str, str], replaced: Mapping[Path, Table] | None = None
) -> Reading:
    """Read the configuration and remember where it came from; raises ConfigError as `load` does.

    `replaced` holds tables to be used in the place of files, which need not exist.
    """
    return _combine([*_from_files(path, replaced or {}), *from_environment(environ)])


def _from_files(path: Path | None, replaced: Mapping[Path, Table]) -> Iterator[Finding]:
    main = path or DEFAULT_PATH
    files = [main] if path or main.exists() else []
    found = drop_ins(main)
    if isinstance(found, Mistake):
        yield found
    else:
        files += sorted({*found, *replaced})
    for file in files:
        table = replaced[file] if file in replaced else read_file(file)
        if isinstance(table, Mistake):
            yield table
        else:
            yield from from_table(str(file), table)


def _combine(findings: Iterable[Finding]) -> Reading:
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    mistakes: list[Mistake] = []
    for finding in findings:
        if isinstance(finding, Mistake):
            mistakes.append(finding)
            continue
        try:
            values[finding.path] = from_toml(OPTIONS[finding.path].kind, finding.value)
            origins[finding.path] = finding.source
        except ValueError as error:
            mistakes += [Mistake(finding.source, finding.path, message) for message in error.args]
    config = _build(values)
    wrong = {mistake.path for mistake in mistakes}
    mistakes += [
        _blame(conflict, origins) for conflict in conflicts(config) if wrong.isdisjoint(conflict.paths)
    ]
    if mistakes:
        raise ConfigError("\n".join(map(str, mistakes)))
    return Reading(config, origins)


def _build(values: Mapping[str, Any]) -> Config:
    sections: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        section, _, key = path.partition(".")
        sections.setdefault(section, {})[key] = value
    return Config(**{name: SECTIONS[name](**options) for name, options in sections.items()})


def _blame(conflict: Conflict, origins: Mapping[str, str]) -> Mistake:
    """A conflict is told of the first of its options that somebody set; defaults don't conflict."""
    path = next(path for path in conflict.paths if path in origins)
    return Mistake(origins[path], path, conflict.message)
