"""`whisperd serve` whose workers load nothing: what is left is the daemon's own start and memory."""

import functools
import sys
from pathlib import Path

from whisperd import daemon
from whisperd.__main__ import main
from whisperd.worker import Worker

_FAKE_WORKER = Path(__file__).parent.parent / "fake_worker.py"

daemon.Worker = functools.partial(Worker, command=(sys.executable, str(_FAKE_WORKER)))  # type: ignore[assignment,attr-defined]
sys.exit(main())
