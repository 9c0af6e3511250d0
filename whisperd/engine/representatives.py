"""Whose embedding serves whom: chunks overlap, and in most of them a speaker says what he says in the next.

Segmentation looks at 10 s each second, so a speaker who goes on talking would be embedded ten times from
nearly the same speech. Here those are chosen who stand for the others.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

REACH: Final = 3
"""Chunks between one who stands for another and the other, at most."""
LEAST: Final = 0.7
"""Of what either of two says in the time that their chunks share, so much do both say."""


def representatives(talking: NDArray[np.uint8], step: float) -> NDArray[np.int64]:
    """Who stands for each speaker of each chunk: (chunks, speakers), numbered chunk by chunk.

    `talking`, (chunks, frames, speakers), is 1 where somebody's speech would be embedded; each chunk begins
    `step` frames after the one before it. Who talks most is chosen first. Who finds nobody to stand for him
    stands for himself, and so does who says nothing.
    """
    chunks, frames, speakers = talking.shape
    chosen = np.arange(chunks * speakers).reshape(chunks, speakers)
    amounts = talking.sum(axis=1, dtype=np.int32)
    stands = np.zeros((chunks, speakers), bool)
    for row in np.argsort(-amounts, axis=None, kind="stable"):
        chunk, speaker = divmod(int(row), speakers)
        if not amounts[chunk, speaker]:
            break
        best = LEAST
        for other in range(max(0, chunk - REACH), min(chunks, chunk + REACH + 1)):
            if not stands[other].any():
                continue
            lag = round((other - chunk) * step)
            mine = talking[chunk, max(0, lag) : frames + min(0, lag), speaker, None] > 0
            theirs = talking[other, max(0, -lag) : frames - max(0, lag)] > 0
            both, either = (mine & theirs).sum(axis=0), (mine | theirs).sum(axis=0)
            alike = stands[other] * both / np.maximum(either, 1)
            if alike.max() > best:
                best = alike.max()
                chosen[chunk, speaker] = other * speakers + alike.argmax()
        stands[chunk, speaker] = chosen[chunk, speaker] == row
    return chosen
