"""The command line as a whole."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from whisperd import __version__
from whisperd.__main__ import main
from whisperd.cli.parser import COMMANDS, build


def exit_status(*words: str) -> int:
    """The status of a command line that is refused or answered by the parser itself."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def subparsers(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """The action that holds a parser's commands."""
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--help") == 0
    printed = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert f"    {name}" in printed
        assert line in printed


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--version") == 0
    assert capsys.readouterr().out == f"whisperd {__version__}\n"


@pytest.mark.parametrize("words", [[], ["sing"], ["--frob"], ["serve", "--frob"], ["serve", "now"]])
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(*words) == 2
    assert capsys.readouterr().err.startswith("usage: whisperd")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(name, "--help") == 0
    assert len(capsys.readouterr().out.split("options:")[0].splitlines()) > 2


def test_a_command_says_of_itself_what_the_list_says() -> None:
    lines = {action.dest: action.help for action in subparsers(build(COMMANDS))._choices_actions}
    assert lines == dict(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_or_its_sub_commands_can_be_run(name: str) -> None:
    command = subparsers(build([name])).choices[name]
    nested = [action for action in command._actions if isinstance(action, argparse._SubParsersAction)]
    parsers = nested[0].choices.values() if nested else [command]
    assert all(callable(parser.get_default("func")) for parser in parsers)


def test_a_start_of_the_daemon_pays_for_no_other_command() -> None:
    program = (
        "import sys; from whisperd.cli.parser import parse; parse(['serve']);"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"rich", "tomli_w", "aiohttp", "msgspec", "json"} & set(loaded.stdout.split())


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "whisperd.toml"
    path.touch()
    command = [sys.executable, "-m", "whisperd", "--config", str(path), "config", "show"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141
