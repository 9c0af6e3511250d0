"""The manual page against the command line and the configuration."""

import argparse
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from whisperd.cli.parser import COMMANDS, build
from whisperd.config.load import DEFAULT_PATH
from whisperd.config.schema import Paths
from whisperd.config.sources import OLDER_VARIABLES

PAGE = Path(__file__).parent.parent / "packaging" / "debian" / "whisperd.1"


def text() -> str:
    """The page's words, without roff's requests, fonts and escapes."""
    lines = PAGE.read_text(encoding="utf-8").replace(r"\-", "-").splitlines()
    words = (re.sub(r"^\.[A-Z]+ ?|\\f[A-Z]", "", line).replace('"', "") for line in lines)
    return "\n".join(words)


def commands(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The parser and those of its commands, by the words that are typed for them."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, command in action.choices.items():
                yield from commands(command, f"{name} {word}".strip())


def lowest() -> list[str]:
    """Commands that have none below them."""
    names = [name for name, _ in commands(build(COMMANDS)) if name]
    return [name for name in names if not any(other.startswith(f"{name} ") for other in names)]


def entry(name: str) -> str:
    """What the page says of a command, up to the next one."""
    starts = {command: re.search(rf"(?m)^{command}\b", text()) for command in lowest()}
    start = starts[name]
    assert start, f"the page has no entry for {name}"
    ends = [other.start() for other in starts.values() if other and other.start() > start.start()]
    return text()[start.start() : min(ends, default=None)]


@pytest.mark.parametrize("name", lowest())
def test_each_command_is_described_with_its_options(name: str) -> None:
    parser = dict(commands(build(COMMANDS)))[name]
    options = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
    assert options <= set(re.findall(r"-+[a-z-]+", entry(name)))


def test_no_option_is_described_that_there_is_not() -> None:
    real = {
        option
        for _, parser in commands(build(COMMANDS))
        for action in parser._actions
        for option in action.option_strings
    }
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", text())) <= real


@pytest.mark.parametrize("status", [0, 1, 2, 78])
def test_each_exit_status_is_explained(status: int) -> None:
    assert re.search(rf"(?m)^{status}$", text().partition("EXIT STATUS")[2])


@pytest.mark.parametrize(
    "variable", [*OLDER_VARIABLES, "WHISPERD_SERVER", "WHISPERD_KEY", "WHISPERD_ SECTION __ KEY"]
)
def test_each_variable_is_named(variable: str) -> None:
    assert variable in text().partition("ENVIRONMENT")[2]


def test_the_files_are_where_the_defaults_are() -> None:
    files = text().partition("FILES")[2]
    for path in (DEFAULT_PATH, Paths().state, Paths().spool, Paths().control_socket):
        assert f"{path}\n" in files


def test_the_page_is_sound_roff() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    command = [groff, "-man", "-Tutf8", "-ww", "-z", str(PAGE)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""
