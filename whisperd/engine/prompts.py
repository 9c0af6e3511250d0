"""What the decoder is told before it begins: language, task, and words to expect."""

import functools
from typing import Final

from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from whisperd.transcript.model import Task

MAX_TOKENS: Final = 448
"""The decoder's positions, prompt included."""
_MAX_HINT: Final = MAX_TOKENS // 2 - 1


class Prompts:
    """The tokens of one model's prompts."""

    def __init__(self, model: WhisperModel) -> None:
        self._model = model
        self.tokenizer = functools.lru_cache(self._tokenizer)
        self.suppressed: tuple[int, ...] = get_suppressed_tokens(self.tokenizer("en", "transcribe"), [-1])

    def prompt(
        self, language: str, task: Task, *, text: str | None = None, hotwords: str | None = None
    ) -> tuple[int, ...]:
        """`text` as if it had been said before, `hotwords` before that; of either about as much as fits."""
        tokenizer = self.tokenizer(language, task)
        said = [
            *(tokenizer.encode(f" {hotwords.strip()}")[:_MAX_HINT] if hotwords else ()),
            *(tokenizer.encode(f" {text.strip()}")[-_MAX_HINT:] if text else ()),
        ][-_MAX_HINT:]
        return (*([tokenizer.sot_prev, *said] if said else ()), *tokenizer.sot_sequence)

    def _tokenizer(self, language: str, task: Task) -> Tokenizer:
        multilingual = self._model.model.is_multilingual
        return Tokenizer(self._model.hf_tokenizer, multilingual, task=task, language=language)
