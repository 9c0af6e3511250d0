"""`whisperd doctor`: what keeps a job from running, and what to do about it."""

import argparse
import os
import sys
from collections.abc import Iterable
from typing import Final

import msgspec
from rich.console import Console
from rich.markup import escape

from whisperd import __version__
from whisperd.config.load import load
from whisperd.config.schema import Config
from whisperd.doctor.checks import diagnose
from whisperd.doctor.finding import Finding, State
from whisperd.doctor.machine import Machine
from whisperd.doctor.user import User
from whisperd.errors import ConfigError

_SIGNS: Final[dict[State, str]] = {
    "ok": "[green]✓[/]",
    "warning": "[yellow]![/]",
    "failure": "[bold red]✗[/]",
    "skipped": "[dim]-[/]",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `doctor`, which sets `func`."""
    parser = subparsers.add_parser(
        "doctor",
        help="find out what keeps a job from running",
        description="Look at everything that a job needs, in the order in which to mend it: the GPU, its "
        "driver and libraries, the engines, memory, disks, models, secrets, addresses, the certificate, "
        "the way out to others. The exit status is 0 only if a job would run. It needs to be root, or the "
        "service's user, to look at models and uploads.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=_run)


def _run(arguments: argparse.Namespace) -> int:
    findings = diagnose(_machine(arguments))
    failed = _print_json(findings) if arguments.json else _print_lines(findings)
    return 1 if failed else 0


def _machine(arguments: argparse.Namespace) -> Machine:
    config, mistakes = Config(), None
    try:
        config = load(arguments.config, os.environ)
    except ConfigError as error:
        mistakes = error.message
    user = User.of_the_daemon(config.paths.state)
    return Machine(config=config, mistakes=mistakes, environ=os.environ, user=user)


def _print_json(findings: Iterable[Finding]) -> bool:
    found = list(findings)
    failed = any(finding.state == "failure" for finding in found)
    report = {"ok": not failed, "version": __version__, "findings": found}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    return failed


def _print_lines(findings: Iterable[Finding]) -> bool:
    """A line as soon as each finding is made: some take seconds."""
    console = Console(highlight=False)
    failures = warnings = 0
    for finding in findings:
        failures += finding.state == "failure"
        warnings += finding.state == "warning"
        if console.is_terminal:
            console.print(
                f"{_SIGNS[finding.state]} [bold]{escape(finding.name)}[/]: {escape(finding.detail)}"
            )
            if finding.remedy:
                console.print(f"  → {escape(finding.remedy)}", style="cyan")
        else:
            remedy = f"\n         {finding.remedy}" if finding.remedy else ""
            sys.stdout.write(f"{finding.state:8} {finding.name}: {finding.detail}{remedy}\n")
            sys.stdout.flush()
    verdict = "No job would run" if failures else "A job would run"
    counts = f"{failures} failures, {warnings} warnings"
    console.print(f"{verdict}: {counts}", style="bold", markup=False)
    return bool(failures)
