"""All checks, in the order in which to mend what they find."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from whisperd.doctor.certificate import check_certificate
from whisperd.doctor.device import check_device
from whisperd.doctor.disk import check_disk
from whisperd.doctor.egress import check_egress
from whisperd.doctor.engines import check_engines
from whisperd.doctor.finding import Finding
from whisperd.doctor.gpu import check_cards, check_driver
from whisperd.doctor.libraries import check_libraries
from whisperd.doctor.listening import check_addresses
from whisperd.doctor.machine import Machine
from whisperd.doctor.models import check_models
from whisperd.doctor.nodes import check_nodes
from whisperd.doctor.secrets import check_secrets


class Check(NamedTuple):
    """One check, and when it has nothing to look at."""

    name: str
    run: Callable[[Machine], Iterator[Finding]]
    skip: Callable[[Machine], str | None] = lambda _: None
    """Why it is skipped."""


def check_configuration(machine: Machine) -> Iterator[Finding]:
    """Every mistake in the configuration."""
    if machine.mistakes is None:
        yield Finding("configuration", "ok", "no mistakes")
    for mistake in (machine.mistakes or "").splitlines():
        yield Finding("configuration", "failure", mistake, "Mend it, and try with whisperd check-config")


CHECKS: Final = (
    Check("configuration", check_configuration),
    Check("card", check_cards, Machine.no_gpu_wanted),
    Check("device nodes", check_nodes, Machine.no_card),
    Check("driver", check_driver, Machine.no_card),
    Check("library", check_libraries, Machine.no_card),
    Check("engines", check_engines),
    Check("device", check_device, Machine.no_configuration),
    Check("disk", check_disk, Machine.no_configuration),
    Check("models", check_models, Machine.no_configuration),
    Check("secrets", check_secrets, Machine.no_configuration),
    Check("address", check_addresses, Machine.no_configuration),
    Check("certificate", check_certificate, Machine.no_tls),
    Check("going out", check_egress, Machine.no_configuration),
)


def diagnose(machine: Machine) -> Iterator[Finding]:
    """Run every check; findings come as they are made."""
    for check in CHECKS:
        if reason := check.skip(machine):
            yield Finding(check.name, "skipped", reason)
        else:
            yield from check.run(machine)
