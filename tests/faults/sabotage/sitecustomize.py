"""Python imports this at its start, where it is on the path: breaks a daemon's workers from inside.

SABOTAGE names a directory. What a worker does wrong stands in the file KIND.run (at each job) or KIND.load
(when it loads) there, for as long as the file is there; `... once` removes it first.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_leaked: list[bytearray] = []


def _order(path: Path) -> str:
    """What to do, if anything."""
    try:
        order, _, once = path.read_text(encoding="ascii").partition(" ")
        if once:
            path.unlink()  # who removes it does it
    except FileNotFoundError:
        return ""
    return order


def _obey(order: str) -> None:
    match order:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(3600)
        case "leak":
            _leaked.append(bytearray(os.urandom(2**20) * 128))
        case "swallow":
            while True:
                _obey("leak")
        case "lose-card":
            raise RuntimeError("CUDA failed with error unspecified launch failure")
        case "no-card":
            raise RuntimeError("CUDA failed with error no CUDA-capable device is detected")
        case "no-memory":
            raise MemoryError


class _Saboteur:
    """An engine that does as it is told before it does as it should."""

    def __init__(self, engine: Any, orders: Path) -> None:
        self._engine = engine
        self._orders = orders
        self.concurrency = engine.concurrency
        self.describe = engine.describe

    def run(self, job: Any, progress: Any, cancelled: Callable[[], bool]) -> Any:
        _obey(_order(self._orders.with_suffix(".run")))
        return self._engine.run(job, progress, cancelled)


def _infiltrate(orders: Path) -> None:
    from whisperd.engine.host import Host

    honest = Host.__init__

    def init(self: Host, connection: Any, load: Callable[[Any], Any]) -> None:
        def load_and_turn(setup: Any) -> _Saboteur:
            _obey(_order(orders.with_suffix(".load")))
            return _Saboteur(load(setup), orders)

        honest(self, connection, load_and_turn)

    Host.__init__ = init  # type: ignore[method-assign]


if "serve" in sys.orig_argv:
    # The daemon's workers keep the true time: a process that is forked while libfaketime holds its lock waits
    # for it for ever, and decoding forks.
    os.environ.pop("LD_PRELOAD", None)

if "SABOTAGE" in os.environ and "whisperd.engine" in sys.orig_argv:
    _infiltrate(Path(os.environ["SABOTAGE"]) / sys.orig_argv[sys.orig_argv.index("whisperd.engine") + 1])
