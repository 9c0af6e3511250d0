"""Configuration as text: the sample file, what is in force, and the drop-in of `whisperd config set`."""

import json
import os
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import tomli_w

from whisperd.config.load import DEFAULT_PATH, Reading, read
from whisperd.config.schema import OPTIONS, SECTIONS, Option
from whisperd.config.sources import Mistake, drop_in_directory, read_file, unknown_option
from whisperd.config.values import from_text, from_toml, to_toml
from whisperd.errors import ConfigError

DROP_IN: Final = "50-set.toml"
_WIDTH: Final = 100
_HEAD: Final = """\
The configuration of whisperd.

Each option stands below with its default. Put your own values into drop-ins, /etc/whisperd.toml.d/*.toml,
which win over this file and leave it to upgrades; `whisperd config set KEY VALUE` writes one. An environment
variable of the unit, WHISPERD_SECTION__KEY, wins over both.

Lengths of time are written as "500ms", "30s", "5min", "12h", "1h 30min", and sizes as "500MB", "2GiB".
A file that holds a secret may be a credential of the unit instead (LoadCredential=NAME:/PATH):
"credential:NAME".
`whisperd check-config` finds mistakes. An option marked (reload) takes effect by `systemctl reload whisperd`,
the others by a restart.
"""


def sample() -> str:
    """The text of `etc/whisperd.toml`: every option, commented out, at its default."""
    parts = [_comment(_HEAD)]
    for section, kind in SECTIONS.items():
        parts.append(f"{_comment(kind.__doc__ or '')}[{section}]\n")
        parts += [_entry(option) for option in OPTIONS.values() if option.section == section]
    return "\n".join(parts)


def _entry(option: Option) -> str:
    doc = f"{option.doc} (reload)" if option.live else option.doc
    return f"{_comment(doc)}#{option.key} = {toml(option.default)}\n"


def _comment(text: str) -> str:
    paragraphs = text.strip().split("\n\n")
    wrapped = (textwrap.wrap(paragraph, _WIDTH - 2, break_on_hyphens=False) for paragraph in paragraphs)
    return "#\n".join("".join(f"# {line}\n" for line in lines) for lines in wrapped)


def toml(value: Any) -> str:
    """One value as it is written in a TOML file, on one line."""
    # JSON's text, truth and arrays are TOML's too.
    return json.dumps(to_toml(value), ensure_ascii=False)


class Written(NamedTuple):
    """What `set_option` did."""

    file: Path
    winner: str
    """The file that sets the option in force: another one when a later drop-in sets it too."""


def set_option(path: Path | None, key: str, text: str) -> Written:
    """Set the option `key` (its dotted path) in a drop-in of the configuration file.

    Raises ConfigError, and writes nothing, when the files as a whole would hold a mistake; OSError.
    """
    if key not in OPTIONS:
        raise ConfigError(f"{key}: {unknown_option(key)}")
    option = OPTIONS[key]
    try:
        value = to_toml(from_toml(option.kind, from_text(option.kind, text)))
    except ValueError as error:
        raise ConfigError("\n".join(f"{key}: {message}" for message in error.args)) from error
    file = drop_in_directory(path or DEFAULT_PATH) / DROP_IN
    table = _existing(file)
    section = table.get(option.section)
    table[option.section] = {**(section if isinstance(section, dict) else {}), option.key: value}
    reading = read(path, {}, {file: table})
    _replace(file, f"# Written by `whisperd config set`.\n\n{tomli_w.dumps(table)}")
    return Written(file, reading.origins[key])


def _existing(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    table = read_file(file)
    if isinstance(table, Mistake):
        raise ConfigError(str(table))
    return dict(table)


def _replace(file: Path, text: str) -> None:
    """Write the file whole or not at all, readable by the service."""
    file.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".", encoding="utf-8", delete=False) as new:
        try:
            new.write(text)
            new.flush()
            os.fchmod(new.fileno(), 0o644)
            os.fsync(new.fileno())
            Path(new.name).replace(file)
        except BaseException:
            Path(new.name).unlink()
            raise


def shown(reading: Reading) -> Iterator[str]:
    """Lines of TOML with every option's value in force, and behind it where it comes from."""
    entries = {path: f"{option.key} = {toml(option.of(reading.config))}" for path, option in OPTIONS.items()}
    width = max(map(len, entries.values()))
    for number, section in enumerate(SECTIONS):
        yield f"\n[{section}]" if number else f"[{section}]"
        for path, entry in entries.items():
            if OPTIONS[path].section == section:
                yield f"{entry:<{width}}  # {reading.origins.get(path, 'default')}"
