"""`python -m torture`: rounds with other seeds until there were enough kills."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from running import STATE

from torture.local import local_victim
from torture.round import JOBS, torture


def main() -> int:
    """Stop at the first round that went wrong; returns the exit status."""
    parser = argparse.ArgumentParser(prog="torture", description="Kill a daemon that works, again and again.")
    parser.add_argument("--kills", type=int, default=500, help="end after so many (%(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="or after so long")
    parser.add_argument("--seed", type=int, default=1, help="of the first round (%(default)s)")
    parser.add_argument("--jobs", type=int, default=JOBS, help="in each round (%(default)s)")
    options = parser.parse_args()
    if not (STATE / "models" / "tiny.en").is_dir():
        parser.error("the model tiny.en is not there: make models")
    began, kills, seed = time.monotonic(), 0, options.seed
    while kills < options.kills and time.monotonic() - began < 60 * options.minutes:
        with tempfile.TemporaryDirectory(prefix="whisperd-torture-") as directory:
            path = Path(directory)
            with local_victim(path) as victim:
                report = asyncio.run(torture(victim, seed=seed, jobs=options.jobs))
            kills += report.kills
            minutes = (time.monotonic() - began) / 60
            print(f"seed {seed}: {report}\n{kills} kills in {minutes:.1f} min\n", flush=True)
            if report.wrong:
                log = path / "log"
                kept = Path(tempfile.gettempdir()) / f"whisperd-torture-{seed}.log"
                kept.write_bytes(log.read_bytes())
                print(f"The daemon's log is in {kept}.")
                return 1
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
