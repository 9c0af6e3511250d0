"""`whisperd check-config`: look for mistakes in the configuration."""

import argparse
import os
from pathlib import Path
from typing import Literal

from whisperd import egress, tls
from whisperd.config.load import read
from whisperd.config.schema import Config
from whisperd.config.secret import located


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `check-config`, which sets `func`."""
    parser = subparsers.add_parser(
        "check-config",
        help="look for mistakes in the configuration",
        description="Read the configuration file, its drop-ins and the environment, and tell every mistake "
        "in them: unknown options, wrong values, combinations that can't be had, a certificate and a "
        "key that don't go together, a file of authorities that holds none. The exit status is 78 if there "
        "is one.",
    )
    parser.set_defaults(func=_run)


def _run(arguments: argparse.Namespace) -> int:
    config, origins = read(arguments.config, os.environ)
    certificate = _certificate(config)
    if not _left_to_the_service(config.fetch.ca_file, config.fetch.proxy_login_file):
        egress.read(config.fetch)
    options = "1 option is" if len(origins) == 1 else f"{len(origins)} options are"
    print(f"no mistakes; {options} set (see `whisperd config show`)")
    if certificate:
        print(f"server.tls_certificate is {certificate}")
    return 0


def _certificate(config: Config) -> str | None:
    """What to say of it. Raises ConfigError."""
    if _left_to_the_service(config.server.tls_certificate, config.server.tls_key):
        return "a credential, which the service alone can look at"
    return str(certificate) if (certificate := tls.read(config.server)) else None


def _left_to_the_service(*files: Literal["none"] | Path) -> bool:
    """Whether one of them is a credential, and this is not the service."""
    return any(file != "none" and located(file) is None for file in files)
