"""Where settings come from: the file, its drop-ins, and the environment."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from whisperd.config.schema import OPTIONS, SECTIONS, Option
from whisperd.config.values import from_text

Table = Mapping[str, Any]

PREFIX: Final = "WHISPERD_"
OLDER_VARIABLES: Final[Mapping[str, str]] = {
    "WHISPER_MODEL": "transcribe.model",
    "WHISPER_AVAILABLE_MODELS": "transcribe.models",
    "WHISPER_DEVICE": "transcribe.device",
    "WHISPER_COMPUTE_TYPE": "transcribe.compute_type",
    "WHISPER_BEAM_SIZE": "transcribe.beam_size",
    "WHISPER_VAD": "transcribe.vad",
    "WHISPER_DEFAULT_LANGUAGE": "transcribe.language",
    "FLASK_HOST": "server.listen",
    "FLASK_PORT": "server.listen",
    "CUDNN_EXTRA_LIB_DIRS": "cuda.library_dirs",
}
"""Variables of earlier transcription servers, and the option that each sets."""
_FLASK_DEFAULTS: Final = {"FLASK_HOST": "0.0.0.0", "FLASK_PORT": "5000"}  # noqa: S104 - what these meant


class Setting(NamedTuple):
    """One option, set somewhere."""

    source: str
    """A file or a variable."""
    path: str
    value: object
    """As TOML holds it."""


class Mistake(NamedTuple):
    """Something that can't be used, and where it stands."""

    source: str
    path: str | None
    """None is the source as a whole."""
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


Finding = Setting | Mistake


# ---- files ---------------------------------------------------------------------------------------


def read_file(path: Path) -> Table | Mistake:
    """The table in a TOML file, or why there is none."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        return Mistake(str(path), None, error.strerror or str(error))
    except UnicodeDecodeError as error:
        return Mistake(str(path), None, f"not UTF-8 (at byte {error.start})")
    except tomllib.TOMLDecodeError as error:
        return Mistake(str(path), None, f"not TOML: {error}")


def drop_in_directory(path: Path) -> Path:
    """Where the drop-ins of a configuration file lie."""
    return path.with_name(path.name + ".d")


def drop_ins(path: Path) -> list[Path] | Mistake:
    """The drop-ins of a configuration file, in the order in which they are read."""
    directory = drop_in_directory(path)
    try:
        entries = list(directory.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        return Mistake(str(directory), None, error.strerror or str(error))
    return sorted(entry for entry in entries if entry.suffix == ".toml" and not entry.name.startswith("."))


def from_table(source: str, table: Table) -> Iterator[Finding]:
    """What a file's table sets."""
    for name, section in table.items():
        if name not in SECTIONS:
            yield Mistake(source, name, _unknown_section(name))
        elif not isinstance(section, dict):
            yield Mistake(source, name, f"is a section; write [{name}] and its options below it")
        else:
            for key, value in section.items():
                path = f"{name}.{key}"
                if path in OPTIONS:
                    yield Setting(source, path, value)
                else:
                    yield Mistake(source, path, _unknown_key(name, key))


# ---- the environment -----------------------------------------------------------------------------


def variable(option: Option) -> str:
    """The environment variable that overrides an option."""
    return f"{PREFIX}{option.section}__{option.key}".upper()


def from_environment(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What the environment sets: the variables of older systems first, so that our own win."""
    yield from _from_older(environ)
    ours = {variable(option): option for option in OPTIONS.values()}
    for name, text in sorted(environ.items()):
        if option := ours.get(name):
            yield _from_text(name, option, text)
        elif name.startswith(PREFIX) and "__" in name:
            yield Mistake(name, None, "sets no option" + _hint(name, ours))
        elif name.startswith(PREFIX):
            squeezed = {known.replace("__", "_"): known for known in ours}
            if name in squeezed:
                yield Mistake(name, None, f"sets no option; did you mean {squeezed[name]}?")


def _from_older(environ: Mapping[str, str]) -> Iterator[Finding]:
    given = {name: environ[name] for name in OLDER_VARIABLES if environ.get(name)}
    flask = [name for name in _FLASK_DEFAULTS if name in given]
    if flask:
        host, port = (given.pop(name, default) for name, default in _FLASK_DEFAULTS.items())
        host = f"[{host}]" if ":" in host else host
        yield Setting(" and ".join(flask), "server.listen", [f"{host}:{port}"])
    for name, text in given.items():
        path = OLDER_VARIABLES[name]
        if name == "CUDNN_EXTRA_LIB_DIRS":
            yield Setting(name, path, [part for part in text.split(":") if part])
        else:
            text = "auto" if text == "Automatic" else text
            yield _from_text(name, OPTIONS[path], text)


def _from_text(source: str, option: Option, text: str) -> Finding:
    try:
        return Setting(source, option.path, from_text(option.kind, text))
    except ValueError as error:
        return Mistake(source, option.path, str(error))


# ---- did you mean --------------------------------------------------------------------------------


def unknown_option(path: str) -> str:
    """What is wrong with a dotted path that is none of the options."""
    section, dot, key = path.partition(".")
    if section in SECTIONS:
        return _unknown_key(section, key)
    return "no such option" + _hint(path, OPTIONS) if dot else _unknown_section(path)


def _unknown_section(name: str) -> str:
    return "no such section" + (_elsewhere(name) or _hint(name, SECTIONS) or _listed(SECTIONS))


def _unknown_key(section: str, key: str) -> str:
    beside = {option.key: option for option in OPTIONS.values() if option.section == section}
    return "no such option" + (_hint(key, beside, f"{section}.") or _elsewhere(key) or _listed(beside))


def _elsewhere(key: str) -> str:
    paths = [path for path, option in OPTIONS.items() if option.key == key]
    return f"; did you mean {' or '.join(paths)}?" if paths else ""


def _hint(name: str, known: Iterable[str], prefix: str = "") -> str:
    from difflib import get_close_matches  # of use for mistakes alone, and a start should be quick

    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _listed(known: Iterable[str]) -> str:
    return f"; there are {', '.join(known)}"
