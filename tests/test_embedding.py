"""The speaker embedding behind pyannote's interface, with an untrained network."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from untrained import untrained

from whisperd.engine.campplus import DIMENSION
from whisperd.engine.embedding import SpeakerEmbedding, _parts

SECOND = 16_000


@pytest.fixture(scope="module")
def embedding() -> SpeakerEmbedding:
    return SpeakerEmbedding(untrained()).to(torch.device("cpu"))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / 10


def same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return np.allclose(one, other, atol=1e-3, rtol=1e-3)


def test_without_a_mask_the_whole_row_is_embedded(embedding: SpeakerEmbedding) -> None:
    waveforms = noise(2, 1, 2 * SECOND)
    assert embedding(waveforms).shape == (2, DIMENSION)
    assert same(embedding(waveforms), embedding(waveforms, masks=torch.ones(2, 117)))


def test_a_mask_leaves_out_what_others_say(embedding: SpeakerEmbedding) -> None:
    mine, theirs = noise(1, 1, 2 * SECOND), noise(1, 1, 2 * SECOND, seed=1) * 5
    mask = torch.cat([torch.ones(1, 50), torch.zeros(1, 50)], dim=1)
    alone = embedding(torch.cat([mine, torch.zeros_like(mine)], dim=2), masks=mask)
    together = embedding(torch.cat([mine, theirs], dim=2), masks=mask)
    # A frame reaches 25 ms, and so that far into what follows.
    cosine = np.vdot(alone, together) / np.linalg.norm(alone) / np.linalg.norm(together)
    assert cosine > 0.99
    assert not same(together, embedding(torch.cat([mine, theirs], dim=2)))


def test_rows_of_one_batch_are_embedded_as_if_alone(embedding: SpeakerEmbedding) -> None:
    chunks = noise(2, 1, 3 * SECOND).repeat_interleave(3, dim=0)
    masks = torch.zeros(6, 100)
    for row, (first, last) in enumerate([(0, 100), (0, 30), (60, 90), (50, 100), (10, 11), (0, 99)]):
        masks[row, first:last] = 1
    together = embedding(chunks, masks=masks)
    for row in range(6):
        assert same(together[row], embedding(chunks[row : row + 1], masks=masks[row : row + 1])[0])


def test_too_little_speech_has_no_embedding(embedding: SpeakerEmbedding) -> None:
    masks = torch.zeros(3, 100)
    masks[1, 40:60] = 1
    embedded = embedding(noise(3, 1, SECOND), masks=masks)
    assert np.isnan(embedded[[0, 2]]).all()
    assert np.isfinite(embedded[1]).all()


def test_the_shortest_recording_is_as_short_as_promised(embedding: SpeakerEmbedding) -> None:
    assert np.isfinite(embedding(noise(1, 1, embedding.min_num_samples))).all()
    for samples in (embedding.min_num_samples - 1, 400, 10, 1):
        assert np.isnan(embedding(noise(1, 1, samples))).all()


def test_rows_are_shared_out_within_the_limit() -> None:
    sizes = dict(enumerate([500, 100, 900, 400, 1_200, 100]))
    parts = _parts(sizes, 1_000)
    assert sorted(row for part in parts for row in part) == list(sizes)
    assert sorted(sum(sizes[row] for row in part) for part in parts) == [1_000, 1_000, 1_200]
    assert _parts(sizes, 10**6) == [[4, 2, 0, 3, 1, 5]]


def test_how_loud_a_recording_is_does_not_matter(embedding: SpeakerEmbedding) -> None:
    waveform = noise(1, 1, 2 * SECOND)
    assert same(embedding(waveform), embedding(waveform * 4))
