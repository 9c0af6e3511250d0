"""The work on recordings: what opens the bytes that strangers send, each file in a process of its own.

Plain ones, in which there is nothing to decode, need none.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whisperd.engine import Progress, confined, plain
from whisperd.engine.allowance import Allowance
from whisperd.engine.decode import Decoder
from whisperd.engine.mixdown import Mixer
from whisperd.engine.pad import Padder
from whisperd.protocol import Decoded, DecodeJob, DecodeSetup, Encoded, MixJob, PadJob, Ready


class Recordings:
    """Reads and writes recordings, each job in a thread that waits for its process."""

    def __init__(self, setup: DecodeSetup) -> None:
        self.concurrency = setup.concurrency
        self._setup = setup
        self._work: dict[type[Any], confined.Work] = {
            DecodeJob: Decoder(setup).run,
            PadJob: Padder(setup).run,
            MixJob: Mixer(setup).run,
        }
        # What is there by now would be copied as soon as a collection in a forked process touches it.
        gc.collect()
        gc.freeze()

    def describe(self) -> Ready:
        """Nothing to load."""
        return Ready(load_s=0.0)

    def run(
        self, job: DecodeJob | PadJob | MixJob, progress: Progress, cancelled: Callable[[], bool]
    ) -> Decoded | Encoded:
        """Do one job. Raises MediaError, TooLong, ParameterError, Unavailable, Cancelled."""
        if isinstance(job, DecodeJob):
            taken = plain.taken(job, max_duration_s=self._setup.max_duration_s)
            if taken:
                return taken
        work, allowance = self._work[type(job)], self._allowance(job)
        done: Decoded | Encoded = confined.run(work, job, allowance, progress, cancelled)
        return done

    def _allowance(self, job: DecodeJob | PadJob | MixJob) -> Allowance:
        sources = job.sources if isinstance(job, MixJob) else [job.source]
        return Allowance(
            recordings=max(1, len(sources)),
            size_bytes=sum(Path(source).stat().st_size for source in sources),
            longest_s=self._setup.max_duration_s + _added_s(job),
            stall_s=self._setup.stall_s,
        )


def _added_s(job: DecodeJob | PadJob | MixJob) -> float:
    """Seconds of silence before the recordings."""
    match job:
        case PadJob():
            return job.silence_s
        case MixJob():
            return max(job.delays_s, default=0.0)
    return 0.0
