"""`python -m benchmarks [NAME ...]`: measure, and print a table for each."""

import argparse
import datetime
import tempfile
from pathlib import Path

from . import contexts, diarization, health, jobs, latency, memory, overload, peak, speed, start, throughput
from .report import load, machine, show

BENCHMARKS = {
    "latency": latency.measure,
    "memory": memory.measure,
    "start": start.measure,
    "health": health.measure,
    "speed": speed.measure,
    "throughput": throughput.measure,
    "contexts": contexts.measure,
    "diarization": diarization.measure,
    "jobs": jobs.measure,
    "peak": peak.measure,
    "overload": overload.measure,
}


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure a real daemon.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}: {machine()}\n", flush=True)
    for name in names:
        title = f"{name} (load before it: {load()})"
        with tempfile.TemporaryDirectory(prefix="whisperd-") as directory:
            show(title, list(BENCHMARKS[name](Path(directory))))


main()
