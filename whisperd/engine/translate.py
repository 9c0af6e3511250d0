"""Text from one language to another by a Marian model, on CTranslate2."""

import gc
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import ctranslate2
from sentencepiece import SentencePieceProcessor

from whisperd.cuda.mapped import own_libraries
from whisperd.engine import Cancelled, Progress
from whisperd.engine.language_token import language_token
from whisperd.engine.sentences import halves, plain, sentences
from whisperd.errors import OutOfMemory, StartError
from whisperd.protocol import Ready, Translated, TranslateJob, TranslateSetup
from whisperd.transcript.pairs import pair_of

logger = logging.getLogger(__name__)

_END, _UNKNOWN = "</s>", "<unk>"
_BEAM_SIZE: Final = 4
"""What OPUS-MT's models are published with."""
_SENTENCE_PIECES: Final = 200
"""Longer ones are cut: the models know positions up to 512, but have hardly seen sentences as long."""
_MAX_PIECES: Final = 512
_GROWTH: Final = 3
"""A translation of more than so many times its source, and a few words, is a model that repeats itself."""
_FEW_PIECES: Final = 16
_BATCH: Final = 32
"""Sentences at once: a cancellation is noticed after so many."""
_UNSPACED: Final = frozenset({"ja", "yue", "zh"})


class Translator:
    """A Marian model on one device, for one job at a time."""

    concurrency = 1

    def __init__(self, setup: TranslateSetup) -> None:
        started = time.monotonic()
        directory = Path(setup.model_dir)
        pair = pair_of(setup.model)
        self._device = setup.device
        self._source = _sentencepiece(setup.model, directory / "source.spm")
        self._target = _sentencepiece(setup.model, directory / "target.spm")
        self._model = ctranslate2.Translator(
            setup.model_dir,
            device=setup.device,
            device_index=setup.device_index,
            compute_type=setup.compute_type,
            intra_threads=setup.threads,
        )
        token = language_token(setup.model, _vocabulary(directory), pair and pair[1])
        self._before = [token] if token else []
        self._after = [] if _adds_end(directory) else [_END]
        self._joint = "" if pair and pair[1] in _UNSPACED else " "
        # CTranslate2 looks for cuBLAS at its first operation, not when it loads: find out now.
        self._translate([self._source.encode("1.", out_type=str)])
        self._load_s = time.monotonic() - started

    def describe(self) -> Ready:
        """What was loaded, and which CUDA libraries it really uses."""
        return Ready(load_s=self._load_s, libraries=own_libraries())

    def run(self, job: TranslateJob, progress: Progress, cancelled: Callable[[], bool]) -> Translated:
        """Translate texts of any length; their line breaks stay. Raises OutOfMemory."""
        texts = [[self._cut(line) for line in text.split("\n")] for text in job.texts]
        done = self._in_batches(
            [pieces for lines in texts for line in lines for pieces in line], progress, cancelled
        )
        return Translated(
            ["\n".join(self._joint.join(next(done) for _ in line) for line in lines) for lines in texts]
        )

    def _cut(self, line: str) -> list[list[str]]:
        """The pieces of each sentence in a line."""
        return [pieces for sentence in sentences(line) for pieces in self._fitting(plain(sentence))]

    def _fitting(self, sentence: str) -> Iterator[list[str]]:
        """The pieces of a sentence, in as many parts as none is too long."""
        pieces = self._source.encode(sentence, out_type=str)
        if len(pieces) <= _SENTENCE_PIECES:
            yield pieces
        else:
            for half in halves(sentence):
                yield from self._fitting(half)

    def _in_batches(
        self, sources: list[list[str]], progress: Progress, cancelled: Callable[[], bool]
    ) -> Iterator[str]:
        """The translations in the order of their sources; those of one length are done together."""
        order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
        found: dict[int, str] = {}
        for start in range(0, len(order), _BATCH):
            if cancelled():
                raise Cancelled
            batch = order[start : start + _BATCH]
            found |= zip(batch, self._translate([sources[number] for number in batch]), strict=True)
            progress(0.0)  # a text has no seconds: this only says that the work goes on
        return (found[number] for number in range(len(sources)))

    def _translate(self, batch: list[list[str]]) -> list[str]:
        try:
            return self._translate_once(batch)
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            logger.warning("out of memory on %s; trying once more with half as much", self._device)
        self._free_caches()
        middle = (len(batch) + 1) // 2
        try:
            return self._translate_once(batch[:middle]) + self._translate_once(batch[middle:])
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            raise OutOfMemory(f"not enough memory on the {self._device} for this text") from error

    def _translate_once(self, batch: list[list[str]]) -> list[str]:
        longest = max(map(len, batch), default=0)
        results = self._model.translate_batch(
            [[*self._before, *pieces, *self._after] for pieces in batch],
            beam_size=_BEAM_SIZE,
            max_input_length=0,  # what is longer was cut; nothing is dropped here
            max_decoding_length=min(_GROWTH * longest + _FEW_PIECES, _MAX_PIECES),
            return_end_token=True,
        )
        return [self._text(result.hypotheses[0]) for result in results]

    def _text(self, pieces: list[str]) -> str:
        if pieces[-1:] != [_END]:
            logger.warning("a translation went on for %s pieces and was ended there", len(pieces))
        known = [piece for piece in pieces if piece not in {_END, _UNKNOWN}]
        return " ".join(self._target.decode(known).split())

    def _free_caches(self) -> None:
        gc.collect()
        self._model.unload_model()
        self._model.load_model()


def _sentencepiece(model: str, path: Path) -> SentencePieceProcessor:
    if not path.is_file():
        raise StartError(f"the model {model} lacks {path.name}")
    return SentencePieceProcessor(model_file=str(path))


def _vocabulary(directory: Path) -> list[str]:
    """The tokens that the model reads, as CTranslate2 of any version writes them."""
    for path in (directory / "shared_vocabulary", directory / "source_vocabulary"):
        if (listed := path.with_suffix(".json")).exists():
            return list(json.loads(listed.read_text(encoding="utf-8")))
        if (lines := path.with_suffix(".txt")).exists():
            return lines.read_text(encoding="utf-8").split("\n")
    return []


def _adds_end(directory: Path) -> bool:
    """Whether CTranslate2 itself puts the end of the sentence there."""
    config = directory / "config.json"
    return config.exists() and bool(json.loads(config.read_text(encoding="utf-8")).get("add_source_eos"))
