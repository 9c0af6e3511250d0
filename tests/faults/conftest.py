"""A service that can be broken from inside, in a box for each module and each Debian release."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from boxes.box import SITE_PACKAGES, Box

from faults.victim import ORDERS, Victim

SABOTEUR = Path(__file__).with_name("sabotage") / "sitecustomize.py"
SMALL = {
    "SABOTAGE": ORDERS,
    "WHISPERD_DIARIZE__ENABLED": "false",
    "WHISPERD_WORKERS__PING_INTERVAL": "200ms",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the built package and a box, and real weights."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.box)
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def infiltrated(stocked: tuple[Path, ...], release: str) -> Iterator[tuple[Path, ...]]:
    """An installation with a saboteur in the program. No boot starts it, but a test may, often."""
    with Box.boot(f"infiltrated-{release}", stocked, size="256m") as box:
        box.write(f"{SITE_PACKAGES}/sitecustomize.py", SABOTEUR.read_text(encoding="utf-8"))
        box.write("/etc/systemd/system/whisperd.service.d/limit.conf", "[Unit]\nStartLimitIntervalSec=0\n")
        box.systemctl("disable", "whisperd.service")
        yield (box.power_off(), *stocked)


@pytest.fixture(scope="module")
def box(infiltrated: tuple[Path, ...], release: str, request: pytest.FixtureRequest) -> Iterator[Box]:
    name = request.module.__name__.rpartition("_")[2]
    with Box.boot(f"fault-{name}-{release}", infiltrated) as box:
        yield box


@pytest.fixture
def settings() -> Mapping[str, str]:
    """The environment of the service, beside what all have; modules have their own."""
    return {}


@pytest.fixture
def victim(box: Box, settings: Mapping[str, str]) -> Iterator[Victim]:
    """A service that has just been started."""
    environment = (f"Environment={name}={value}" for name, value in {**SMALL, **settings}.items())
    with box.override("RestartSec=100ms", "WatchdogSec=20", *environment), Victim(box) as victim:
        yield victim
