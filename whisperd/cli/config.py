"""`whisperd config`: show or set options."""

import argparse
import os
import sys
from typing import Final

from whisperd.config.load import read
from whisperd.config.schema import OPTIONS
from whisperd.config.write import set_option, shown
from whisperd.errors import WhisperdError

_EXAMPLES: Final = """\
examples:
  whisperd config set limits.upload 500MB
  whisperd config set server.listen 127.0.0.1:8000,[::1]:8000
  whisperd config set diarize.enabled false
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `config` and its own sub-commands; each sets `func`."""
    parser = subparsers.add_parser(
        "config", help="show or set options", description="Show or set options of the configuration."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    showing = commands.add_parser(
        "show",
        help="print every option's value, and where it comes from",
        description="Print every option's value as TOML, and behind it the file or the variable that set it. "
        "Variables of the unit are not seen from a shell.",
    )
    showing.set_defaults(func=_show)

    setting = commands.add_parser(
        "set",
        help="set an option in a drop-in",
        description="Set an option in /etc/whisperd.toml.d/50-set.toml, if the configuration as a whole\n"
        "is then free of mistakes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    setting.add_argument("key", metavar="KEY", help="the option's dotted path, such as limits.upload")
    setting.add_argument("value", metavar="VALUE", help="its value; a list is written with commas")
    setting.set_defaults(func=_set)


def _show(arguments: argparse.Namespace) -> int:
    for line in shown(read(arguments.config, os.environ)):
        print(line)
    return 0


def _set(arguments: argparse.Namespace) -> int:
    try:
        file, winner = set_option(arguments.config, arguments.key, arguments.value)
    except OSError as error:
        raise WhisperdError(f"could not write {error.filename}: {error.strerror}") from error
    verb = "reload" if OPTIONS[arguments.key].live else "restart"
    print(f"{arguments.key} is set in {file}; it takes effect with: systemctl {verb} whisperd")
    if winner != str(file):
        print(f"whisperd: {winner} sets {arguments.key} too, and wins", file=sys.stderr)
    return 0
