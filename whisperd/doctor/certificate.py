"""The server's certificate: whether the daemon can use it, and for how long."""

import datetime
from collections.abc import Iterator
from pathlib import Path

from whisperd import tls
from whisperd.config.secret import located
from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine
from whisperd.doctor.user import READ
from whisperd.errors import ConfigError

_NAME = "certificate"
_RENEW = "Renew it, and have it read with systemctl reload whisperd"


def check_certificate(machine: Machine) -> Iterator[Finding]:
    """The files of server.tls_certificate and server.tls_key."""
    server = machine.config.server
    for path in (server.tls_certificate, server.tls_key):
        if path == "none":
            continue
        if (file := located(path)) is None:
            yield Finding(_NAME, "skipped", f"{path} is for the service alone to look at")
            return
        if found := unreadable(machine, _NAME, file):
            yield found
            return
    try:
        certificate = tls.read(server)
    except ConfigError as error:
        yield Finding(_NAME, "failure", error.message, "Mend it, and try with whisperd check-config")
        return
    if certificate:
        yield _judged(certificate, datetime.datetime.now(datetime.UTC))


def unreadable(machine: Machine, check: str, file: Path) -> Finding | None:
    """Why the daemon's user can't read it, though we can, for a check of that name."""
    try:
        status = file.stat()
    except OSError:
        return None  # whoever reads it tells that
    if machine.user.may(status, READ):
        return None
    name = machine.user.name
    return Finding(
        check,
        "failure",
        f"{file} can't be read by {name}",
        f"chgrp {name} {file} and chmod 640 {file}, or pass it as a credential (LoadCredential=)",
    )


def _judged(certificate: tls.Certificate, now: datetime.datetime) -> Finding:
    if now > certificate.expires_at:
        return Finding(_NAME, "failure", f"{certificate}: it has ended, and clients refuse it", _RENEW)
    if now < certificate.begins_at:
        begins = f"{certificate.begins_at:%Y-%m-%d %H:%M} UTC"
        return Finding(
            _NAME, "failure", f"{certificate}: it begins only on {begins}", "Set this machine's clock"
        )
    left = f"{certificate}, in {(certificate.expires_at - now).days} days"
    return Finding(_NAME, "warning", left, _RENEW) if certificate.ends_soon() else Finding(_NAME, "ok", left)
