"""Text from one language to another by a Marian model, on CTranslate2."""

from collections.abc import Callable

from whisperd.engine import Progress
from whisperd.protocol import Ready, Translated, TranslateJob, TranslateSetup


class Translator:
    """A Marian model on one device, for one job at a time."""

    concurrency = 1

    def __init__(self, setup: TranslateSetup) -> None:
        raise NotImplementedError

    def describe(self) -> Ready:
        """What was loaded."""
        raise NotImplementedError

    def run(self, job: TranslateJob, progress: Progress, cancelled: Callable[[], bool]) -> Translated:
        """Translate."""
        raise NotImplementedError
