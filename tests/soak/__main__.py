"""`python -m soak`: for so many minutes, and what came of it."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from soak.report import show
from soak.soak import soak, why_not


def main() -> int:
    """Returns 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="soak", description="Let a daemon work while its workers die.")
    parser.add_argument("--minutes", type=float, default=120, help="%(default)s")
    parser.add_argument("--seed", type=int, default=1, help="%(default)s")
    parser.add_argument("--kill-every", type=float, default=60, metavar="SECONDS", help="%(default)s")
    parser.add_argument(
        "--growth", type=float, default=0.05, help="share by which memory may grow (%(default)s)"
    )
    options = parser.parse_args()
    if reason := why_not():
        parser.error(reason)
    with tempfile.TemporaryDirectory(prefix="whisperd-soak-") as directory:
        report = asyncio.run(
            soak(
                Path(directory),
                seconds=60 * options.minutes,
                seed=options.seed,
                kill_every_s=options.kill_every,
                growth=options.growth,
            )
        )
        show(report)
        if report.wrong:
            kept = Path(tempfile.gettempdir()) / f"whisperd-soak-{options.seed}.log"
            kept.write_bytes((Path(directory) / "log").read_bytes())
            print(f"The daemon's log is in {kept}.")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
