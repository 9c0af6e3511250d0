"""What faster-whisper by itself makes of the same recordings, in this process."""

from collections.abc import Sequence
from typing import Any, Final

from faster_whisper import BatchedInferencePipeline, WhisperModel
from running import STATE

from .spoken import Spoken

_OPTIONS: Final = {"language": "en", "beam_size": 5, "word_timestamps": True, "vad_filter": True}


class Alone:
    """faster-whisper as its documentation has it, on so many threads."""

    def __init__(self, name: str, threads: int) -> None:
        self._model = loaded(name, threads=threads)
        self._batched = BatchedInferencePipeline(self._model)

    def transcribe(self, recordings: Sequence[Spoken]) -> list[str]:
        """One after the other."""
        return [self._text(self._model.transcribe(each.samples, **_OPTIONS)) for each in recordings]

    def transcribe_batched(self, recordings: Sequence[Spoken], size: int) -> list[str]:
        """Each in batches of its own chunks."""
        return [
            self._text(self._batched.transcribe(each.samples, batch_size=size, **_OPTIONS))
            for each in recordings
        ]

    @staticmethod
    def _text(answer: Any) -> str:
        segments, _ = answer
        return "".join(segment.text for segment in segments)


def loaded(name: str, *, threads: int, workers: int = 1) -> WhisperModel:
    """The model of that name, on the CPU."""
    return WhisperModel(
        str(STATE / "models" / name),
        device="cpu",
        compute_type="int8",
        cpu_threads=threads,
        num_workers=workers,
        local_files_only=True,
    )
