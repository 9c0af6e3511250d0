"""Nothing that was promised is lost or done twice by a daemon that dies over and over."""

from pathlib import Path

import pytest
from running import models_installed

from torture.local import local_victim
from torture.round import torture

SEED = 1
STRIKE_S = 75.0
"""About as long as the jobs take on two cores that do nothing else."""


@pytest.mark.engine
@pytest.mark.timeout(1200)
async def test_every_promised_job_is_done_once_whatever_dies(tmp_path: Path) -> None:
    models_installed("tiny.en")
    with local_victim(tmp_path) as victim:
        report = await torture(victim, seed=SEED, strike_s=STRIKE_S)
    print(report)
    assert not report.wrong, report
