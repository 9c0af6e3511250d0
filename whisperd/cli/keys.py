"""`whisperd keys`: make, list, revoke, rotate and import the keys that callers send."""

import argparse
import contextlib
import datetime
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from whisperd.access.keys import GRANTS, Grant, Key
from whisperd.access.ring import Ring
from whisperd.access.rows import key_of, read_rows
from whisperd.cli.moments import ahead, length
from whisperd.config.load import load
from whisperd.config.schema import Config
from whisperd.errors import WhisperdError
from whisperd.owner import act_as_owner

_EXAMPLES: Final = """\
examples:
  whisperd keys create --name "meeting notes" --owner ann
  whisperd keys create --name ci --owner ops --permissions stt,jobs --rate-limit 600 --expires 90d
  whisperd keys rotate 3f9a1c2b --grace 1h
  whisperd keys import api_keys.csv --salt-file salt

A new key is printed to standard output, once; nobody can show it again.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `keys` and its own sub-commands; each sets `func`."""
    parser = subparsers.add_parser(
        "keys",
        help="make, list, revoke, rotate and import keys",
        description="Make, list, revoke, rotate and import the keys that callers send. All of it is in\n"
        "force at once. As soon as there is a key, requests need one (access.require_key).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    creating = commands.add_parser("create", help="make a key", description="Make a key, and print it.")
    creating.add_argument("--name", required=True, type=_word, metavar="TEXT", help="what it is for")
    creating.add_argument(
        "--owner", required=True, type=_word, metavar="NAME", help="whose jobs it sees and makes"
    )
    creating.add_argument("--organization", type=_word, metavar="NAME", help="told of with the owner's jobs")
    creating.add_argument(
        "--permissions",
        type=_grants,
        metavar="LIST",
        default=("stt", "jobs", "llm"),
        help=f"of {', '.join(GRANTS)}, with commas (default: stt,jobs,llm)",
    )
    creating.add_argument(
        "--rate-limit",
        type=_count,
        metavar="N",
        default=60,
        help="requests a minute that may begin something (default: %(default)s); access.burst is beyond it",
    )
    creating.add_argument(
        "--expires", type=ahead, metavar="TIME", help="after 90d, or at the beginning of 2027-01-31 (UTC)"
    )
    creating.set_defaults(func=_create)

    listing = commands.add_parser(
        "list", help="show the keys", description="Show the keys; not what is sent, which is not kept."
    )
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(func=_list)

    revoking = commands.add_parser(
        "revoke", help="end a key", description="End keys, from the next request on."
    )
    revoking.add_argument("ids", nargs="+", metavar="ID", help="as `whisperd keys list` shows it")
    revoking.set_defaults(func=_revoke)

    rotating = commands.add_parser(
        "rotate",
        help="replace a key",
        description="Make a key like another one, print it, and end that one after a while.",
    )
    rotating.add_argument("id", metavar="ID", help="as `whisperd keys list` shows it")
    rotating.add_argument(
        "--grace",
        type=length,
        metavar="TIME",
        default="1d",
        help="how long the old key works beside the new one (default: %(default)s); 0 ends it at once",
    )
    rotating.set_defaults(func=_rotate)

    importing = commands.add_parser(
        "import",
        help="take over Lexia's keys",
        description="Take over the keys of a Lexia server: rows of its table api_keys, as JSON lines, a JSON "
        "array, or CSV with a head. Their holders go on sending the same keys. Rows that are revoked, "
        "expired, wrong or here already are skipped, each with its reason.",
    )
    importing.add_argument("file", type=Path, metavar="FILE", help='the rows; "-" is standard input')
    importing.add_argument(
        "--salt-file",
        required=True,
        type=Path,
        metavar="PATH",
        help="a file whose first line is that server's API_KEY_SALT",
    )
    importing.set_defaults(func=_import)

    telling = commands.add_parser(
        "webhook-secret",
        help="print what an owner's webhooks are signed with",
        description="Print the secret with which the receivers of an owner's webhooks verify the signatures.",
    )
    telling.add_argument("owner", type=_word, metavar="OWNER", help="as in `whisperd keys list`")
    telling.set_defaults(func=_webhook_secret)


# ---- arguments -----------------------------------------------------------------------------------


def _word(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("it needs characters that can be printed")
    return text.strip()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number from 1 to 1000000')
    return int(text)


def _grants(text: str) -> tuple[Grant, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in GRANTS:
            raise argparse.ArgumentTypeError(
                f'there is no permission "{name}"; there are {", ".join(GRANTS)}'
            )
    return cast("tuple[Grant, ...]", names)


# ---- commands ------------------------------------------------------------------------------------


def _create(arguments: argparse.Namespace) -> int:
    with _ring(_config(arguments)) as ring:
        key, text = ring.create(
            name=arguments.name,
            owner=arguments.owner,
            organization_id=arguments.organization,
            permissions=arguments.permissions,
            rate_limit=arguments.rate_limit,
            at=_now(),
            expires_at=arguments.expires,
        )
    _show(text, f"key {key.id} is made for {key.owner}; keep it, for it can't be shown again")
    return 0


def _rotate(arguments: argparse.Namespace) -> int:
    with _ring(_config(arguments)) as ring:
        key, text = ring.rotate(arguments.id, at=_now(), grace=arguments.grace)
        ends = ring.key(arguments.id).expires_at
    until = f"works until {ends:%Y-%m-%d %H:%M} UTC" if arguments.grace and ends else "works no longer"
    _show(text, f"key {key.id} is made for {key.owner}; key {arguments.id} {until}")
    return 0


def _show(text: str, comment: str) -> None:
    """The key alone goes where a script reads it."""
    print(text)
    sys.stdout.flush()
    print(f"whisperd: {comment}", file=sys.stderr)


def _list(arguments: argparse.Namespace) -> int:
    with _ring(_config(arguments)) as ring:
        keys = ring.keys()
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(keys)).decode())
    else:
        Console().print(_table(keys))
    return 0


def _table(keys: list[Key]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("ID", "NAME", "OWNER", "PERMISSIONS"):
        table.add_column(head, no_wrap=head == "ID", overflow="fold")
    table.add_column("RATE", justify="right")
    for head in ("STATE", "LAST USED"):
        table.add_column(head, no_wrap=True)
    for key in keys:
        table.add_row(
            key.id,
            escape(key.name),
            escape(key.owner),
            ", ".join(key.permissions) or "-",
            str(key.rate_limit),
            _state(key),
            f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "-",
        )
    return table


def _state(key: Key) -> str:
    if key.revoked_at:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "valid"
    return f"{'valid until' if key.valid(_now()) else 'expired'} {key.expires_at:%Y-%m-%d}"


def _revoke(arguments: argparse.Namespace) -> int:
    status = 0
    with _ring(_config(arguments)) as ring:
        for key_id in arguments.ids:
            try:
                ring.revoke(key_id, at=_now())
            except WhisperdError as error:
                print(f"whisperd: {error}", file=sys.stderr)
                status = error.exit_code
            else:
                print(f"key {key_id} is revoked")
    return status


def _import(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    # Read before this process becomes the service's user, who may not.
    salt = _read(arguments.salt_file).partition("\n")[0].strip("\r")
    if not salt:
        raise WhisperdError(f"there is no salt on the first line of {arguments.salt_file}")
    rows = read_rows(sys.stdin.read() if str(arguments.file) == "-" else _read(arguments.file))
    taken = 0
    with _ring(config) as ring:
        for number, row in enumerate(rows, 1):
            try:
                key, hashed = key_of(row, at=_now())
                if not ring.take(key, hashed, salt):
                    raise ValueError("it is here already")
            except ValueError as error:
                print(f"row {number} ({row.get('name') or row.get('id')}) is skipped: {error}")
            else:
                taken += 1
    print(f"{taken} of {len(rows)} keys are taken over")
    return 0 if taken or not rows else 1


def _webhook_secret(arguments: argparse.Namespace) -> int:
    from whisperd.jobs.signature import Signer

    config = _config(arguments)
    act_as_owner(config.paths.state)
    print(Signer.of(config).secret_of(arguments.owner))
    return 0


def _config(arguments: argparse.Namespace) -> Config:
    return load(arguments.config, os.environ)


@contextlib.contextmanager
def _ring(config: Config) -> Iterator[Ring]:
    act_as_owner(config.paths.state)
    with contextlib.closing(Ring.open(config.paths.state)) as ring:
        yield ring


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise WhisperdError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise WhisperdError(f"{path} is not text in UTF-8") from None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
