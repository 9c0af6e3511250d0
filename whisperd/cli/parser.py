"""The command line: the commands there are, and the options before them."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from whisperd import __version__

COMMANDS: Final[Mapping[str, str]] = {
    "serve": "run the daemon",
    "check-config": "look for mistakes in the configuration",
    "config": "show or set options",
    "reload": "have the running daemon read its configuration again",
    "doctor": "find out what keeps a job from running",
    "models": "list, pull, add, verify and remove models",
    "keys": "make, list, revoke, rotate and import keys",
    "usage": "show what was used, by key and day",
    "transcribe": "send recordings to the daemon, and print what is said in them",
}
"""Each command and its line in the help. `check-config` lives in `whisperd.cli.check_config`, and so on."""

_EXAMPLES: Final = """\
examples:
  whisperd models pull base                    fetch a model
  whisperd doctor                              see whether a job would run
  whisperd transcribe meeting.m4a --speakers   print who said what
  whisperd config set limits.upload 500MB      change an option
  whisperd keys create --name app --owner ann  make a key

exit status: 0 done, 1 failed, 2 wrong usage, 78 mistakes in the configuration
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; `func` of the result does what was asked. Exits with 2 on wrong usage."""
    # A command's module is imported only when its name is typed, so that none pays for another.
    return build([name for name in COMMANDS if name in argv]).parse_args(argv)


def build(wanted: Iterable[str]) -> argparse.ArgumentParser:
    """The parser, with the arguments of the `wanted` commands; the others are but listed."""
    parser = argparse.ArgumentParser(
        prog="whisperd",
        description="A speech service for your own machine: recordings in, words and speakers out.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"whisperd {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="PATH", help="configuration file (default: /etc/whisperd.toml)"
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        if name in wanted:
            import_module(f"whisperd.cli.{name.replace('-', '_')}").add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=line)
    return parser
