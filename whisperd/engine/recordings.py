"""The work on recordings: what opens the bytes that strangers send is all in one worker."""

from collections.abc import Callable
from typing import Any

from whisperd.engine import Progress
from whisperd.engine.decode import Decoder
from whisperd.engine.mixdown import Mixer
from whisperd.engine.pad import Padder
from whisperd.protocol import Decoded, DecodeJob, DecodeSetup, Encoded, MixJob, PadJob, Ready


class Recordings:
    """Reads and writes recordings, each job in a thread: FFmpeg works without the interpreter's lock."""

    def __init__(self, setup: DecodeSetup) -> None:
        self.concurrency = setup.concurrency
        self._run: dict[type[Any], Callable[..., Decoded | Encoded]] = {
            DecodeJob: Decoder(setup).run,
            PadJob: Padder(setup).run,
            MixJob: Mixer(setup).run,
        }

    def describe(self) -> Ready:
        """Nothing to load."""
        return Ready(load_s=0.0)

    def run(
        self, job: DecodeJob | PadJob | MixJob, progress: Progress, cancelled: Callable[[], bool]
    ) -> Decoded | Encoded:
        """Do one job. Raises MediaError, TooLong, ParameterError, Cancelled."""
        return self._run[type(job)](job, progress, cancelled)
