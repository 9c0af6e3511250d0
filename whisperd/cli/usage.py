"""`whisperd usage`: what was used, by key, owner and day."""

import argparse
import contextlib
import csv
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from whisperd.access.schema import SCHEMA, database
from whisperd.access.usage import Group, Total, totals
from whisperd.cli.moments import day
from whisperd.config.load import load
from whisperd.owner import act_as_owner
from whisperd.sqlite import connect

_GROUPS: Final[Mapping[str, tuple[Group, ...]]] = {
    "key": ("key",),
    "day": ("day",),
    "owner": ("owner",),
}
_KEY_AND_DAY: Final[tuple[Group, ...]] = ("day", "key")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `usage`, which sets `func`."""
    parser = subparsers.add_parser(
        "usage",
        help="show what was used, by key and day",
        description="Show what was used: requests, those that failed, recordings, the time that models took, "
        "tokens. Without --by, for each key and day. Days are those of UTC.",
    )
    parser.add_argument("--by", choices=list(_GROUPS), help="sums for each of these")
    parser.add_argument(
        "--since", type=day, metavar="DAY", help="from this day on: 2027-01-31, or 7d for seven days ago"
    )
    parser.add_argument("--until", type=day, metavar="DAY", help="up to this day, and with it")
    parser.add_argument(
        "--format", choices=list(_PRINT), default="table", help="what to print (default: %(default)s)"
    )
    parser.set_defaults(func=_run)


def _run(arguments: argparse.Namespace) -> int:
    state = load(arguments.config, os.environ).paths.state
    act_as_owner(state)
    by = _GROUPS[arguments.by] if arguments.by else _KEY_AND_DAY
    with contextlib.closing(connect(database(state), SCHEMA)) as connection:
        found = totals(connection, by, since=arguments.since, until=arguments.until)
    _PRINT[arguments.format](found, by)
    return 0


def _columns(by: tuple[Group, ...]) -> list[str]:
    groups = {"day": ["day"], "owner": ["owner"], "key": ["key", "name", "owner"]}
    return [
        *(column for group in by for column in groups[group]),
        *(name for name in Total.__struct_fields__ if name not in ("day", "owner", "key", "name")),
    ]


def _records(found: list[Total], by: tuple[Group, ...]) -> list[dict[str, Any]]:
    return [{column: _rounded(getattr(total, column)) for column in _columns(by)} for total in found]


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def _print_json(found: list[Total], by: tuple[Group, ...]) -> None:
    print(msgspec.json.format(msgspec.json.encode(_records(found, by))).decode())


def _print_csv(found: list[Total], by: tuple[Group, ...]) -> None:
    writer = csv.DictWriter(sys.stdout, _columns(by), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_records(found, by))


def _print_table(found: list[Total], by: tuple[Group, ...]) -> None:
    """For people: what is always zero is left out, and a key has its name where it has one."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    groups: dict[str, Callable[[Total], str]] = {}
    if "day" in by:
        groups["DAY"] = lambda total: str(total.day)
    if "key" in by:
        groups["KEY"] = lambda total: total.name or total.key or "-"
    if {"key", "owner"} & set(by):
        groups["OWNER"] = lambda total: total.owner or "-"
    for head in groups:
        table.add_column(head, no_wrap=head == "DAY", overflow="fold")
    numbers: dict[str, Callable[[Total], str]] = {
        "REQUESTS": lambda total: str(total.requests),
        "JOBS": lambda total: str(total.jobs),
        "FAILED": lambda total: str(total.failed),
        "AUDIO": lambda total: _clock(total.audio_s),
        "DEVICE": lambda total: _clock(total.device_s),
        "LATENCY": lambda total: f"{total.latency_s:.2f} s",
    }
    if any(total.tokens_in or total.tokens_out for total in found):
        numbers["TOKENS"] = lambda total: f"{total.tokens_in} + {total.tokens_out}"
    for head in numbers:
        table.add_column(head, justify="right", no_wrap=True)
    for total in found:
        table.add_row(
            *(escape(show(total)) for show in groups.values()), *(show(total) for show in numbers.values())
        )
    Console().print(table)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


_PRINT: Final[Mapping[str, Callable[[list[Total], tuple[Group, ...]], None]]] = {
    "table": _print_table,
    "csv": _print_csv,
    "json": _print_json,
}
