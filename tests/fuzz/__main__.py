"""`python -m fuzz --minutes 60 --seed 1`: mutated recordings, for so long; exits with 1 where one failed."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from fuzz import media


def main() -> int:
    """Run, print the table, say where failures are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kept", type=Path, default=Path("build/fuzz"), help="where inputs that failed go")
    wanted = parser.parse_args()
    os.nice(19)
    found = asyncio.run(media.run(60 * wanted.minutes, wanted.seed, wanted.kept))
    sys.stdout.write(found.table() + "\n")
    for fault in found.faults:
        sys.stdout.write(f"fault: {fault}\n")
    if found.faults or found.suspects:
        sys.stdout.write(f"kept in {wanted.kept}\n")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
