"""`whisperd serve` whose workers load nothing: what is left is the daemon's own start and memory."""

import sys
from pathlib import Path

from whisperd.__main__ import main
from whisperd.worker import Worker

_FAKE_WORKER = Path(__file__).parent.parent / "fake_worker.py"

# The daemon itself is imported by the command, as it is in earnest.
Worker.__init__.__kwdefaults__["command"] = (sys.executable, str(_FAKE_WORKER))  # type: ignore[index]
sys.exit(main())
