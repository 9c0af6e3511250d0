"""The model at work: threads that take batches from the queue, and hand each chunk's outcome back.

A chunk that has to be tried again goes back to the queue by itself, before all else that its request has
there; the others of its batch are done.
"""

import gc
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import get_compression_ratio
from numpy.typing import NDArray

from whisperd.engine import heap
from whisperd.engine.attempts import Decoded
from whisperd.engine.batching import BatchQueue
from whisperd.engine.coverage import missed
from whisperd.engine.features import FRAMES_PER_S, WINDOW, padded
from whisperd.engine.passages import TIMESTAMP_S, passages
from whisperd.engine.prompts import MAX_TOKENS, Prompts
from whisperd.engine.segments import Said
from whisperd.engine.words import words
from whisperd.engine.works import BEST_OF, Encoded, Heard, Hearing, Spoken, Transcribing, Work
from whisperd.errors import OutOfMemory

logger = logging.getLogger(__name__)

_TOKENS_PER_S: Final = 15
"""Nobody speaks faster; a decoder that does in a fitted window has lost its way."""
_SOME_TOKENS: Final = 20
_IDLE_S: Final = 30.0
"""After so long without a batch the memory of the last one goes back to the system."""


class Recognizer:
    """A Whisper model, its queue, and threads that bring the two together, `at_once` batches."""

    def __init__(self, model: WhisperModel, *, at_once: int, batch_size: int) -> None:
        self.prompts = Prompts(model)
        self.queue: BatchQueue[Hearing | Transcribing] = BatchQueue(batch_size, takers=at_once)
        self.batches = 0
        """How many are done: as long as it rises, everybody's turn will come."""
        self._model = model
        self._at_once = at_once
        for number in range(at_once):
            threading.Thread(target=self._serve, name=f"batch-{number}", daemon=True).start()

    def _serve(self) -> None:
        patience_s: float | None = None
        while (batch := self.queue.take(patience_s)) != []:
            if batch is None:
                heap.give_back()
                patience_s = None
            else:
                self._do(batch)
                self.batches += 1
                patience_s = _IDLE_S

    def _do(self, batch: Sequence[Hearing | Transcribing]) -> None:
        """All of them, or if that fails each half; one that fails by itself fails its request."""
        try:
            self._run(batch)
        except Exception as error:
            short = _out_of_memory(error)
            if short:
                logger.warning("out of memory at a batch of %d; trying once more with less", len(batch))
                self._free_caches()
            if len(batch) > 1:
                middle = len(batch) // 2
                self._do(batch[:middle])
                self._do(batch[middle:])
            elif short:
                self._last_try(batch[0])
            else:
                batch[0].done.set_exception(error)

    def _last_try(self, work: "Hearing | Transcribing") -> None:
        try:
            self._run([work])
        except Exception as error:
            work.done.set_exception(
                OutOfMemory(f"not enough memory on the {self._model.model.device} for this recording")
                if _out_of_memory(error)
                else error
            )

    def _free_caches(self) -> None:
        gc.collect()
        if self._at_once == 1:  # others would find no model in the middle of their batch
            self._model.model.unload_model()
            self._model.model.load_model()

    # ---- a batch ---------------------------------------------------------------------------------

    def _run(self, batch: Sequence[Hearing | Transcribing]) -> None:
        rows = self._encode(batch)
        hearing = [work for work in batch if isinstance(work, Hearing)]
        transcribing = [work for work in batch if isinstance(work, Transcribing)]
        if hearing:
            self._hear(hearing, rows)
        else:
            self._transcribe(transcribing, rows)

    def _encode(self, batch: Sequence[Work]) -> Encoded:
        """Shape (batch, positions, dimensions)."""
        kept = [work.encoded for work in batch if work.encoded is not None]
        if len(kept) == len(batch):
            return np.stack(kept)
        features = np.stack([padded(work.features, work.context) for work in batch])
        if self._model.model.device == "cpu":
            # Several windows at once leave the cache, and take half as long again.
            return np.concatenate([self._encoder(one[np.newaxis]) for one in features])
        return self._encoder(features)

    def _encoder(self, features: NDArray[np.float32]) -> Encoded:
        # In the CPU's memory each chunk's share can be told apart and kept; bringing it back costs nothing
        # that shows beside the decoding.
        encoded = self._model.model.encode(_storage(features), to_cpu=True)
        if encoded.dtype == ctranslate2.DataType.bfloat16:  # which numpy doesn't have
            encoded = encoded.to(ctranslate2.DataType.float32)
        return np.array(encoded)

    def _hear(self, batch: Sequence[Hearing], rows: Encoded) -> None:
        answers = self._model.model.detect_language(_storage(rows))
        for work, row, answer in zip(batch, rows, answers, strict=True):
            work.done.set_result(Heard({token[2:-2]: float(share) for token, share in answer}, row))

    def _transcribe(self, batch: Sequence[Transcribing], rows: Encoded) -> None:
        kept: list[tuple[Transcribing, int, Decoded]] = []
        refused: list[tuple[Transcribing, int, Decoded]] = []
        for number, (work, decoded) in enumerate(zip(batch, self._decode(batch, rows), strict=True)):
            chosen = work.attempts.judge(decoded)
            (kept if chosen else refused).append((work, number, chosen or decoded))
        if kept:
            self._tell(kept, rows)
        for work, number, decoded in refused:
            work.attempts.refuse(decoded)
            work.encoded = rows[number] if work.context == WINDOW else None
            work.context = WINDOW
            self.queue.put_first(work.line, work)

    def _decode(self, batch: Sequence[Transcribing], rows: Encoded) -> list[Decoded]:
        first = batch[0]
        temperature = first.attempts.temperature
        most = MAX_TOKENS
        if first.context < WINDOW:
            seconds = first.context / FRAMES_PER_S
            most = min(most, len(first.prompt) + _SOME_TOKENS + round(_TOKENS_PER_S * seconds))
        sampling = (
            {"beam_size": first.beam_size}
            if temperature == 0
            else {
                "beam_size": 1,
                "num_hypotheses": BEST_OF,
                "sampling_topk": 0,
                "sampling_temperature": temperature,
            }
        )
        results = self._generate(
            _storage(rows),
            [list(work.prompt) for work in batch],
            max_length=most,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=list(self.prompts.suppressed),
            **sampling,
        )
        return [
            self._decoded(work, result, temperature, most)
            for work, result in zip(batch, results, strict=True)
        ]

    def _generate(self, *arguments: Any, **options: Any) -> Any:
        return self._model.model.generate(*arguments, **options)

    def _decoded(self, work: Transcribing, result: Any, temperature: float, most: int) -> Decoded:
        tokenizer = self.prompts.tokenizer(work.language, work.task)
        tokens = tuple(result.sequences_ids[0])
        text = tokenizer.decode(tokens).strip()
        timestamps = [token for token in tokens if token > tokenizer.timestamp_begin]
        return Decoded(
            tokens=tokens,
            text=text,
            temperature=temperature,
            # The score is the mean over the tokens, to which the end of the text belongs.
            avg_logprob=float(result.scores[0]) * len(tokens) / (len(tokens) + 1),
            compression_ratio=float(get_compression_ratio(text)),
            no_speech_prob=float(result.no_speech_prob),
            ended=len(work.prompt) + len(tokens) < most - 1,
            last_timestamp=(timestamps[-1] - tokenizer.timestamp_begin) * TIMESTAMP_S if timestamps else None,
        )

    # ---- what is told ----------------------------------------------------------------------------

    def _tell(self, kept: Sequence[tuple[Transcribing, int, Decoded]], rows: Encoded) -> None:
        """Hand the outcomes back, with words: whoever does not want them gets the same text and times."""
        outcomes = [(work, number, self._spoken(work, decoded)) for work, number, decoded in kept]
        aligned = [each for each in outcomes if each[2].said]
        if aligned:
            self._align(aligned, rows)
        for work, _, spoken in outcomes:
            work.done.set_result(_with_missed(work, spoken))

    def _spoken(self, work: Transcribing, decoded: Decoded) -> Spoken:
        if decoded.silent:
            return Spoken(decoded, [], [])
        tokenizer = self.prompts.tokenizer(work.language, work.task)
        found, rest = passages(
            decoded.tokens,
            tokenizer.timestamp_begin,
            duration=work.attempts.duration,
            voice_end=work.attempts.voice_end if work.speech else None,
        )
        said = [Said(passage, tokenizer.decode(passage.tokens)) for passage in found]
        return Spoken(decoded, said, [] if rest is None else [(rest, work.attempts.duration)])

    def _align(self, outcomes: Sequence[tuple[Transcribing, int, Spoken]], rows: Encoded) -> None:
        """Give each its words; they share language and task."""
        first = outcomes[0][0]
        tokenizer = self.prompts.tokenizer(first.language, first.task)
        alignments = self._model.find_alignment(
            tokenizer,
            [
                [token for said in spoken.said for token in said.passage.tokens if token < tokenizer.eot]
                for *_, spoken in outcomes
            ],
            _storage(rows[[number for _, number, _ in outcomes]]),
            [work.features.shape[1] for work, *_ in outcomes],
        )
        for (*_, spoken), alignment in zip(outcomes, alignments, strict=True):
            found = words(alignment, [said.passage for said in spoken.said], tokenizer.eot)
            for said, its_words in zip(spoken.said, found, strict=True):
                said.words.extend(its_words)


def _with_missed(work: Transcribing, spoken: Spoken) -> Spoken:
    """Where detection found speech, and no text came of it, there is more to decode."""
    if not work.speech or not spoken.said:
        return spoken
    end = spoken.rests[0][0] if spoken.rests else work.attempts.duration
    said = [(span.start, span.end) for each in spoken.said for span in each.words or ()]
    said += [(each.passage.start, each.passage.end) for each in spoken.said if not each.words]
    speech = [(start, min(last, end)) for start, last in work.speech if start < end]
    return replace(spoken, rests=[*missed(speech, said), *spoken.rests])


def _storage(array: NDArray[Any]) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error)
