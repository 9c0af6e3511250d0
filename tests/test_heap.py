"""What the process keeps for its next batch goes back when there is none."""

import os
import subprocess
import sys

from whisperd.plan import KEEP

SCRIPT = """
import psutil
from whisperd.engine.heap import give_back
blocks = [bytearray(2**20) for _ in range(100)]
del blocks
kept = psutil.Process().memory_info().rss
give_back()
print(kept - psutil.Process().memory_info().rss)
"""


def test_memory_that_is_kept_for_the_next_batch_can_be_given_back() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | KEEP, check=True, capture_output=True, text=True
    )
    assert int(ran.stdout) > 90 * 2**20
