"""Whatever is sent, and however workers die: each request is answered, and nothing is left behind."""

from pathlib import Path

import pytest

from soak.report import show
from soak.soak import soak, why_not

SECONDS = 180
SEED = 1
KILL_EVERY_S = 30
"""Twice as often as in hours, so that each kind of worker dies meanwhile."""
GROWTH = 0.5
"""In minutes, memory says more of which worker has just been started again than of a leak: each gives back
what it held and fetches it again with its next long recording. Hours have to keep within 5 %.
"""


@pytest.mark.engine
@pytest.mark.timeout(1500)
async def test_every_request_is_answered_and_nothing_is_left_whichever_workers_die(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    report = await soak(tmp_path, seconds=SECONDS, seed=SEED, kill_every_s=KILL_EVERY_S, growth=GROWTH)
    show(report)
    assert not report.wrong
