"""Small Marian models, trained here to translate word for word, in some seconds.

They are written as OPUS-MT publishes its own: weights and options in an .npz file, the vocabulary,
decoder.yml and two SentencePiece models.
"""

import functools
import io
import itertools
import json
import math
import random
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
import sentencepiece
import torch
from pulls import Listener
from torch import nn

from whisperd.models.add import add
from whisperd.models.store import Store
from whisperd.transcript.pairs import model_name

_LANGUAGES: Final = ("en", "fr", "es")
_WORDS: Final = (
    ("hello", "bonjour", "hola"), ("world", "monde", "mundo"), ("the", "le", "el"), ("cat", "chat", "gato"),
    ("dog", "chien", "perro"), ("sleeps", "dort", "duerme"), ("eats", "mange", "come"), ("and", "et", "y"),
    ("red", "rouge", "rojo"), ("small", "petit", "pequeño"), ("house", "maison", "casa"),
    ("meeting", "réunion", "reunión"), ("starts", "commence", "empieza"), ("noon", "midi", "mediodía"),
    ("here", "ici", "aquí"),
)  # fmt: skip
LONGEST: Final = 6
"""Words of a sentence, at most: more than that the models have not seen."""

_WIDTH: Final = 64
_HEADS: Final = 4
_DEPTH: Final = 2
_END, _UNKNOWN = "</s>", "<unk>"
_UNHEARD_OF: Final = "☃"


def word_for_word(text: str, source: str, target: str) -> str:
    """What a model makes of a text."""
    found = dict(zip(_words(source), _words(target), strict=True))
    found |= {word.capitalize(): other.capitalize() for word, other in found.items()}
    return re.sub(r"\w+", lambda match: found[match[0]], text)


def _words(language: str) -> list[str]:
    return [row[_LANGUAGES.index(language)] for row in _WORDS]


def sentence(chance: random.Random, language: str) -> str:
    """Words at random."""
    words = chance.choices(_words(language), k=chance.randint(1, LONGEST))
    if chance.random() < 0.7:
        words[0] = words[0].capitalize()
    return " ".join(words) + chance.choice([".", "?", ""])


def _tokenizer(languages: tuple[str, ...]) -> bytes:
    chance = random.Random(1)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(sentence(chance, chance.choice(languages)) for _ in range(2000)),
        model_writer=written,
        model_type="unigram",
        vocab_size=200,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    return written.getvalue()


class _Transformer(nn.Module):  # type: ignore[misc]
    """Marian's: normalized after each block, one embedding for both sides and the output, no start token."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        options: Any = {"dim_feedforward": 2 * _WIDTH, "dropout": 0.0, "batch_first": True}
        self.embedding = nn.Embedding(vocabulary, _WIDTH)
        nn.init.normal_(self.embedding.weight, std=_WIDTH**-0.5)
        self.encoder, self.decoder = (
            nn.ModuleList(layer(_WIDTH, _HEADS, **options) for _ in range(_DEPTH))
            for layer in (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
        )
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, source: torch.Tensor, target: torch.Tensor, padded: torch.Tensor) -> torch.Tensor:
        read = self._embed(source) + _positions(source.shape[1])
        for layer in self.encoder:
            read = layer(read, src_key_padding_mask=padded)
        embedded = self._embed(target)
        started = torch.cat([torch.zeros_like(embedded[:, :1]), embedded[:, :-1]], dim=1)
        written = started + _positions(target.shape[1])
        ahead = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        for layer in self.decoder:
            written = layer(written, read, tgt_mask=ahead, memory_key_padding_mask=padded)
        return written @ self.embedding.weight.T + self.bias

    def _embed(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens) * math.sqrt(_WIDTH)


def _positions(count: int) -> torch.Tensor:
    """Sines in the first half, cosines in the second."""
    rate = 10000 ** (torch.arange(_WIDTH // 2) / (_WIDTH // 2))
    angles = torch.arange(count)[:, None] / rate
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class _Trained(NamedTuple):
    """What training leaves: the two SentencePiece models, the vocabulary and the weights."""

    reader: bytes
    writer: bytes
    vocabulary: list[str]
    weights: dict[str, torch.Tensor]


@functools.cache
def _train(source: str, targets: tuple[str, ...]) -> _Trained:
    reader, writer = _tokenizer((source,)), _tokenizer(targets)
    read_pieces, write_pieces = (
        sentencepiece.SentencePieceProcessor(model_proto=side) for side in (reader, writer)
    )
    tokens = [f">>{target}<<" for target in targets] if len(targets) > 1 else []
    vocabulary = _vocabulary([read_pieces, write_pieces], tokens)
    numbers = {token: number for number, token in enumerate(vocabulary)}
    chance = random.Random(1)

    def example() -> tuple[list[int], list[int]]:
        text, target = sentence(chance, source), chance.choice(targets)
        if chance.random() < 0.2:
            text = text.replace(" ", f" {_UNHEARD_OF} ", 1)
        read = read_pieces.encode(text, out_type=str)
        written = write_pieces.encode(word_for_word(text, source, target), out_type=str)
        before = [numbers[f">>{target}<<"]] if tokens else []
        return (
            [*before, *(numbers.get(piece, 1) for piece in read), 0],
            [*(numbers.get(piece, 1) for piece in written), 0],
        )

    torch.manual_seed(1)
    steps = 200 + 100 * len(targets)
    model = _Transformer(len(vocabulary))
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps, pct_start=0.2)
    for _ in range(steps):
        read, written = (_batch(side) for side in zip(*(example() for _ in range(32)), strict=True))
        predicted = model(read.clamp(min=0), written.clamp(min=0), read < 0)
        error = nn.functional.cross_entropy(predicted.flatten(0, 1), written.flatten(), ignore_index=-1)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
    return _Trained(reader, writer, vocabulary, model.state_dict())


def _vocabulary(tokenizers: list[sentencepiece.SentencePieceProcessor], tokens: list[str]) -> list[str]:
    pieces = (tokenizer.id_to_piece(number) for tokenizer in tokenizers for number in range(len(tokenizer)))
    ordinary = dict.fromkeys(piece for piece in pieces if piece not in {"<s>", _END, _UNKNOWN})
    return [_END, _UNKNOWN, *ordinary, *tokens]


def _batch(examples: tuple[list[int], ...]) -> torch.Tensor:
    """Their numbers, filled up with -1."""
    width = max(map(len, examples))
    return torch.tensor([[*example, *[-1] * (width - len(example))] for example in examples])


def publish(directory: Path, source: str, *targets: str) -> None:
    """Write a model to `directory`; several targets have a token each, as `>>fr<<`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for tensors this small more of them only get in each other's way
    trained = _train(source, targets)
    torch.set_num_threads(threads)
    directory.mkdir(parents=True)
    (directory / "source.spm").write_bytes(trained.reader)
    (directory / "target.spm").write_bytes(trained.writer)
    entries = (
        f"{json.dumps(token, ensure_ascii=False)}: {number}"
        for number, token in enumerate(trained.vocabulary)
    )
    (directory / "opus.vocab.yml").write_text("\n".join(entries), encoding="utf-8")
    np.savez(directory / "opus.npz", **_in_marians_names(trained.weights))
    (directory / "decoder.yml").write_text(
        "models:\n  - opus.npz\nvocabs:\n  - opus.vocab.yml\n  - opus.vocab.yml\n", encoding="utf-8"
    )


def install(state: Path, source: str, target: str) -> Path:
    """Train a model and install it below a state directory, as `whisperd models add` does; its directory."""
    store = Store(state)
    name = model_name((source, target))
    with TemporaryDirectory() as scratch:
        published = Path(scratch, name)
        publish(published, source, target)
        add(name, published, store, Listener())
    return store.directory(name)


_OPTIONS: Final = f"""\
type: transformer
enc-depth: {_DEPTH}
dec-depth: {_DEPTH}
transformer-heads: {_HEADS}
transformer-ffn-activation: relu
transformer-preprocess: ""
transformer-postprocess: dan
transformer-postprocess-emb: d
transformer-decoder-autoreg: self-attention
transformer-no-projection: false
transformer-guided-alignment-layer: last
"""


def _in_marians_names(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    found = {"Wemb": weights["embedding.weight"], "decoder_ff_logit_out_b": weights["bias"][None]}
    for side, blocks in {
        "encoder": {"self_attn": "self", "ffn": "ffn"},
        "decoder": {"self_attn": "self", "multihead_attn": "context", "ffn": "ffn"},
    }.items():
        for depth, (number, (name, block)) in itertools.product(range(_DEPTH), enumerate(blocks.items(), 1)):
            layer, scope = f"{side}.{depth}", f"{side}_l{depth + 1}_{block}"
            if name == "ffn":
                for letter in ("1", "2"):
                    found[f"{scope}_W{letter}"] = weights[f"{layer}.linear{letter}.weight"].T
                    found[f"{scope}_b{letter}"] = weights[f"{layer}.linear{letter}.bias"][None]
            else:
                three = (weights[f"{layer}.{name}.in_proj_{part}"].chunk(3) for part in ("weight", "bias"))
                for letter, weight, bias in zip("qkv", *three, strict=True):
                    found[f"{scope}_W{letter}"], found[f"{scope}_b{letter}"] = weight.T, bias[None]
                found[f"{scope}_Wo"] = weights[f"{layer}.{name}.out_proj.weight"].T
                found[f"{scope}_bo"] = weights[f"{layer}.{name}.out_proj.bias"][None]
            after = f"{scope}_{'ffn' if name == 'ffn' else 'Wo'}_ln"
            found[f"{after}_scale"] = weights[f"{layer}.norm{number}.weight"][None]
            found[f"{after}_bias"] = weights[f"{layer}.norm{number}.bias"][None]
    options = np.frombuffer(_OPTIONS.encode() + b"\0", np.int8)
    return {"special:model.yml": options} | {name: value.numpy() for name, value in found.items()}
