"""What the daemon needs to go out to others: authorities to trust, and a proxy's login."""

from collections.abc import Iterator

from whisperd import egress
from whisperd.config.secret import located
from whisperd.doctor.certificate import unreadable
from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine
from whisperd.errors import ConfigError

_NAME = "going out"


def check_egress(machine: Machine) -> Iterator[Finding]:
    """The files of fetch.ca_file and fetch.proxy_login_file."""
    fetch = machine.config.fetch
    for path in (fetch.ca_file, fetch.proxy_login_file):
        if path != "none" and located(path) is None:
            yield Finding(_NAME, "skipped", f"{path} is for the service alone to look at")
            return
    # The other one is a secret, which another check looks at.
    ours = None if fetch.ca_file == "none" else located(fetch.ca_file)
    if ours and (found := unreadable(machine, _NAME, ours)):
        yield found
        return
    try:
        egress.read(fetch)
    except ConfigError as error:
        yield Finding(_NAME, "failure", error.message, "Mend it, and try with whisperd check-config")
        return
    by = "directly" if fetch.proxy == "none" else f"by {fetch.proxy}, but to private addresses directly"
    trusting = "the system's authorities" + ("" if fetch.ca_file == "none" else f" and {fetch.ca_file}")
    yield Finding(_NAME, "ok", f"{by}, trusting {trusting}")
