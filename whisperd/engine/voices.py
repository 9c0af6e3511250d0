"""Known speakers: which of the voices that a caller knows are among those of a recording.

Voices are alike by the cosine of the embeddings that the pipeline itself uses. A known voice and a speaker of
the recording are embedded in one way, from what is heard of each alone. (The centroids of the pipeline's
clustering are as good, but there is none for a speaker who never has 2 s of some 10 s to himself.)
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from whisperd.protocol import SAMPLE_RATE_HZ
from whisperd.transcript.model import Turn

Samples = NDArray[np.float32]
Embedding = NDArray[np.float32]
"""Of length 1."""
Stretch = tuple[float, float]
"""From and to, in seconds."""

LEAST_S: Final = 0.5
"""Seconds of speech; less says nothing about whose it is."""
_ENOUGH_S: Final = 30
"""More changes an embedding by little, and its memory grows with the length."""


def alone(turns: Iterable[Turn]) -> dict[str, list[Stretch]]:
    """When each speaker talks and nobody else does."""
    found: dict[str, list[Stretch]] = {}
    changes = sorted(
        (time, begins, turn.speaker)
        for turn in turns
        for time, begins in ((turn.start, True), (turn.end, False))
    )
    talking: list[str] = []
    since = 0.0
    for time, begins, speaker in changes:
        if len(talking) == 1 and since < time:
            found.setdefault(talking[0], []).append((since, time))
        if begins:
            talking.append(speaker)
        else:
            talking.remove(speaker)
        since = time
    return found


def embed(network: Callable[..., Any], samples: Samples, stretches: Iterable[Stretch]) -> Embedding | None:
    """The voice in some stretches of a recording, of which the longest count first.

    None where they hold too little speech, or nothing that the network could embed.
    """
    pieces = []
    left = _ENOUGH_S * SAMPLE_RATE_HZ
    for start, end in sorted(stretches, key=lambda stretch: stretch[0] - stretch[1]):
        pieces.append(samples[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)][:left])
        left -= len(pieces[-1])
    if _ENOUGH_S - left / SAMPLE_RATE_HZ < LEAST_S:
        return None
    embedding: Embedding = network(torch.from_numpy(np.concatenate(pieces))[None, None])[0]
    length = np.linalg.norm(embedding)
    return embedding / length if np.isfinite(length) and length > 0 else None


def recognize(
    speakers: Mapping[str, Embedding], known: Iterable[tuple[str, Embedding]], least: float
) -> dict[str, str]:
    """The names of the speakers who are known, by their labels; each name is given once.

    The pair that is most alike comes first, and below a cosine of `least` nobody is known. (An assignment
    with the highest sum would give up what is sure to make room for what is less so.)
    """
    pairs = sorted(
        (float(mine @ theirs), label, name) for name, theirs in known for label, mine in speakers.items()
    )
    names: dict[str, str] = {}
    for likeness, label, name in reversed(pairs):
        if likeness >= least and label not in names and name not in names.values():
            names[label] = name
    return names


def rename(turns: Iterable[Turn], names: Mapping[str, str]) -> list[Turn]:
    """The same turns, with names in place of the labels of those who have one."""
    renamed = [replace(turn, speaker=names.get(turn.speaker, turn.speaker)) for turn in turns]
    return sorted(renamed, key=lambda turn: (turn.start, turn.end, turn.speaker))
