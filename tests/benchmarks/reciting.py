"""A Whisper of any size that was never trained, in CTranslate2's format: it shows speed and no quality.

With random weights throughout it would talk without end, and say what every check refuses. So the positions
of its decoder are not random: each outweighs all else that the network has worked out, and points at a token.
Whatever it hears, it recites as many words as wanted between two timestamps, and ends. It takes the same work
as a trained one, and no engine has to be told to put up with it.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ctranslate2.specs import WhisperSpec
from faster_whisper.tokenizer import _LANGUAGE_CODES as LANGUAGES
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

Weights = NDArray[np.float16]

MELS: Final = 128
_TEXT_TOKENS: Final = 50_257
_TIMESTAMPS: Final = [f"<|{number / 50:.2f}|>" for number in range(1501)]
_FRAMES: Final = 1500
_POSITIONS: Final = 448
_PROMPT: Final = 3
"""Start, language, task."""
_SPREAD: Final = 0.02
"""Standard deviation of the weights."""
_LOUD: Final = 32.0
"""The same of a position that points at a token: layers add less than 1 each."""
_CERTAIN: Final = 30.0
"""By so much the token's logit exceeds any other."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What makes a Whisper the size that it is."""

    encoder_layers: int
    decoder_layers: int
    dimensions: int
    heads: int
    words: int
    """To recite in each window."""
    alignment_heads: Sequence[tuple[int, int]]
    """Layer and head."""


TURBO: Final = Shape(32, 4, 1280, 20, 110, [(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)])
"""large-v3-turbo's; people say about so many tokens in 30 s."""
SMALL: Final = Shape(2, 2, 64, 2, 10, [(1, 0)])
"""To try out whether a program works."""


def make(directory: Path, shape: Shape) -> None:
    """Write model, vocabulary and tokenizer into an existing directory."""
    tokens = _tokens()
    spec = WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    _Filling(shape, np.random.default_rng(0)).fill(spec, _recital(tokens, shape.words), len(tokens))
    spec.register_vocabulary(tokens)
    first = tokens.index("<|startoftranscript|>") + 1
    spec.config.lang_ids = list(range(first, first + len(LANGUAGES)))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = list(shape.alignment_heads)
    spec.validate()
    spec.optimize(quantization="float16")
    spec.save(str(directory))
    _tokenizer(tokens).save(str(directory / "tokenizer.json"))
    (directory / "preprocessor_config.json").write_text(json.dumps({"feature_size": MELS}), encoding="utf-8")


def _tokens() -> list[str]:
    """As many as large-v3 has, in its order: bytes, words of two or three syllables, special tokens."""
    syllables = ["".join(pair) for pair in itertools.product("bcdfghjklmnprstvwyz", "aeiou")]
    # A space is "Ġ" in the alphabet of byte-level vocabularies.
    words = ("Ġ" + "".join(parts) for size in (2, 3) for parts in itertools.product(syllables, repeat=size))
    alphabet = sorted(ByteLevel.alphabet())
    return [
        *alphabet,
        *itertools.islice(words, _TEXT_TOKENS - 1 - len(alphabet)),
        "",  # by which CTranslate2 knows a model of several languages
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{code}|>" for code in LANGUAGES),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
        *_TIMESTAMPS,
    ]


def _tokenizer(tokens: Sequence[str]) -> Tokenizer:
    text = {token: number for number, token in enumerate(tokens[:_TEXT_TOKENS])}
    tokenizer = Tokenizer(BPE(text, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in tokens[_TEXT_TOKENS:]])
    return tokenizer


def _recital(tokens: Sequence[str], words: int) -> list[int]:
    """From the first timestamp to the end of the text; no word comes twice."""
    chosen = np.random.default_rng(1).choice(np.arange(300, _TEXT_TOKENS - 1), words, replace=False)
    ends = [tokens.index(token) for token in (_TIMESTAMPS[0], _TIMESTAMPS[-1], "<|endoftext|>")]
    return [ends[0], *map(int, chosen), *ends[1:]]


class _Filling:
    """Sets the weights of CTranslate2's specification."""

    def __init__(self, shape: Shape, generator: np.random.Generator) -> None:
        self._shape = shape
        self._generator = generator

    def fill(self, spec: Any, recital: Sequence[int], vocabulary: int) -> None:
        """The whole network; it recites those tokens after its prompt."""
        size = self._shape.dimensions
        directions = self._random(vocabulary, size, spread=1.0)
        # The scalar product of equal directions is `size`, of others at most some 5 of its roots.
        embeddings = (directions * (_CERTAIN / (size - 5 * size**0.5))).astype(np.float16)
        positions = self._random(_POSITIONS, size)
        # A position's output is the token of the next one.
        recited = np.arange(len(recital)) + _PROMPT - 1
        positions[recited] = directions[list(recital)] * np.float16(_LOUD)
        self._encoder(spec.encoder)
        self._decoder(spec.decoder, embeddings, positions)

    def _encoder(self, spec: Any) -> None:
        size = self._shape.dimensions
        for conv, inputs in ((spec.conv1, MELS), (spec.conv2, size)):
            conv.weight = self._random(size, inputs, 3)
            conv.bias = self._random(size)
        spec.position_encodings.encodings = self._random(_FRAMES, size)
        self._norm(spec.layer_norm)
        for layer in spec.layer:
            self._attention(layer.self_attention, 3, 1)
            self._feed_forward(layer.ffn)

    def _decoder(self, spec: Any, embeddings: Weights, positions: Weights) -> None:
        spec.embeddings.weight = embeddings
        spec.projection.weight = embeddings
        spec.position_encodings.encodings = positions
        self._norm(spec.layer_norm)
        for layer in spec.layer:
            self._attention(layer.self_attention, 3, 1)
            self._attention(layer.attention, 1, 2, 1)
            self._feed_forward(layer.ffn)

    def _attention(self, spec: Any, *widths: int) -> None:
        """Queries, keys and values are projected together as far as they come from one sequence."""
        size = self._shape.dimensions
        self._norm(spec.layer_norm)
        for linear, width in zip(spec.linear, widths, strict=True):
            self._linear(linear, width * size, size)

    def _feed_forward(self, spec: Any) -> None:
        size = self._shape.dimensions
        self._norm(spec.layer_norm)
        self._linear(spec.linear_0, 4 * size, size)
        self._linear(spec.linear_1, size, 4 * size)

    def _linear(self, spec: Any, outputs: int, inputs: int) -> None:
        spec.weight = self._random(outputs, inputs)
        spec.bias = self._random(outputs)

    def _norm(self, spec: Any) -> None:
        spec.gamma = np.ones(self._shape.dimensions, np.float16)
        spec.beta = np.zeros(self._shape.dimensions, np.float16)

    def _random(self, *shape: int, spread: float = _SPREAD) -> Weights:
        drawn = self._generator.standard_normal(shape, np.float32)
        drawn *= np.float32(spread)
        return drawn.astype(np.float16)
