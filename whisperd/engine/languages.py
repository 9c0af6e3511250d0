"""Which language is spoken: in the whole recording, and in each of its chunks."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Final

from whisperd.engine.batching import Line
from whisperd.engine.features import WINDOW
from whisperd.engine.prepared import Prepared
from whisperd.engine.recognition import Recognizer
from whisperd.engine.works import Encoded, Heard, Hearing, Transcribing

_SURE: Final = 0.7
"""Probability from which on a language is believed that was heard in fitted windows."""
_ABOUT_AS_MUCH: Final = 0.6
"""Of languages with such a share of the most spoken one's, the recording is in the one it begins with."""
_OWN: Final = 0.6
"""Probability from which on a chunk is in a language of its own."""

Shares = dict[str, float]
"""The probability of each language."""


class Languages:
    """The languages that one recording can be in; no `possible` ones are all."""

    def __init__(
        self,
        recognizer: Recognizer,
        line: "Line[Hearing | Transcribing]",
        wait: Callable[["Future[Heard]"], Heard],
        possible: Sequence[str],
    ) -> None:
        self._recognizer = recognizer
        self._line = line
        self._wait = wait
        self._possible = possible

    def of_recording(self, opening: Sequence[Prepared]) -> tuple[str, float, list[Prepared]]:
        """By its first chunks: the language, its probability, and the same chunks encoded."""
        heard, kept = self._hear(opening)
        total = sum(each.chunk.duration for each in opening)
        shares: Shares = {}
        for each, probabilities in zip(opening, heard, strict=True):
            for code, probability in probabilities.items():
                shares[code] = shares.get(code, 0.0) + probability * each.chunk.duration / total
        possible = self._possible or list(shares)
        most = max(shares.get(code, 0.0) for code in possible)
        spoken = [code for code in possible if shares.get(code, 0.0) >= _ABOUT_AS_MUCH * most]
        language = max(spoken, key=lambda code: heard[0].get(code, 0.0))
        return language, shares.get(language, 0.0), kept

    def of_each(self, prepared: Iterable[Prepared], at_once: int) -> Iterator[Prepared]:
        """The same chunks, and which of them are surely in which language."""
        chunks = iter(prepared)
        while some := list(itertools.islice(chunks, at_once)):
            heard, kept = self._hear(some)
            for each, probabilities in zip(kept, heard, strict=True):
                possible = self._possible or list(probabilities)
                own = max(possible, key=lambda code: probabilities.get(code, 0.0))
                yield replace(each, language=own) if probabilities.get(own, 0.0) >= _OWN else each

    def _hear(self, chunks: Sequence[Prepared]) -> tuple[list[Shares], list[Prepared]]:
        heard, encoded = self._probabilities(chunks, [each.context for each in chunks])
        kept = [replace(each, encoded=rows) for each, rows in zip(chunks, encoded, strict=True)]
        if sum(max(probabilities.values()) for probabilities in heard) < _SURE * len(heard):
            heard, _ = self._probabilities(chunks, [WINDOW] * len(chunks))
        return heard, kept

    def _probabilities(
        self, chunks: Sequence[Prepared], contexts: Sequence[int]
    ) -> tuple[list[Shares], list[Encoded]]:
        works = [
            Hearing(line=self._line, features=each.features, context=context)
            for each, context in zip(chunks, contexts, strict=True)
        ]
        self._recognizer.queue.put(self._line, *works)
        answers = [self._wait(work.done) for work in works]
        return [answer.probabilities for answer in answers], [answer.encoded for answer in answers]
