"""`whisperd check-config`: look for mistakes in the configuration."""

import argparse
import os

from whisperd.config.load import read


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `check-config`, which sets `func`."""
    parser = subparsers.add_parser(
        "check-config",
        help="look for mistakes in the configuration",
        description="Read the configuration file, its drop-ins and the environment, and tell every mistake "
        "in them: unknown options, wrong values, combinations that can't be had. The exit status is 78 if "
        "there is one.",
    )
    parser.set_defaults(func=_run)


def _run(arguments: argparse.Namespace) -> int:
    origins = read(arguments.config, os.environ).origins
    options = "1 option is" if len(origins) == 1 else f"{len(origins)} options are"
    print(f"no mistakes; {options} set (see `whisperd config show`)")
    return 0
