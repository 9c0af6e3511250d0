"""Jobs of the installed service outlive its end, that of its workers, and that of the whole system."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from torture.boxed import BoxedVictim
from torture.local import SETTINGS
from torture.round import torture

from boxes.box import Box

JOBS = 80
STRIKE_S = 75.0
SEED = 2


@pytest.fixture
def victim(stocked: tuple[Path, ...], release: str) -> Iterator[BoxedVictim]:
    """A service that is started again at once, however often, on a small disk."""
    with Box.boot(f"torture-{release}", stocked, size="256m") as box:
        box.write("/etc/systemd/system/whisperd.service.d/limit.conf", "[Unit]\nStartLimitIntervalSec=0\n")
        with box.override(
            "RestartSec=100ms", *(f"Environment={name}={value}" for name, value in SETTINGS.items())
        ):
            box.systemctl("restart", "whisperd.service")
            yield BoxedVictim(box)


@pytest.mark.timeout(1200)
async def test_every_promised_job_is_done_once_whatever_dies(victim: BoxedVictim) -> None:
    report = await torture(victim, seed=SEED, jobs=JOBS, strike_s=STRIKE_S)
    assert not report.wrong, report
