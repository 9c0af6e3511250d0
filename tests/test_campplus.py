"""CAM++: that it is the published network, and that recordings in one pass leave each other alone."""

import json
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from recordings import conversation
from torch import Tensor
from untrained import untrained
from weights import weights

from whisperd.engine import campplus
from whisperd.engine.campplus import CamPlusPlus, Layout
from whisperd.engine.filterbank import MEL_BINS, Filterbank

REFERENCE = Path(__file__).with_name("data") / "campplus_reference.json"
PUBLISHED = Path("embedding", "campplus_cn_en_common.pt")


@pytest.fixture(scope="module")
def network() -> CamPlusPlus:
    return untrained()


@pytest.fixture(scope="module")
def published() -> CamPlusPlus:
    return campplus.load(weights("diarization") / PUBLISHED)


def embed(network: CamPlusPlus, recordings: Sequence[Tensor]) -> Tensor:
    layout = Layout([len(frames) for frames in recordings], torch.device("cpu"))
    packed = torch.zeros(layout.frames, MEL_BINS)
    for start, frames in zip(layout.starts, recordings, strict=True):
        packed[start : start + len(frames)] = frames
    with torch.inference_mode():
        return network(packed, layout)


def test_an_embedding_does_not_depend_on_what_shares_its_pass(network: CamPlusPlus) -> None:
    generator = torch.Generator().manual_seed(1)
    recordings = [torch.randn(n, MEL_BINS, generator=generator) for n in (200, 3, 417, 201, 10, 100)]
    together = embed(network, recordings)
    for recording, embedding in zip(recordings, together, strict=True):
        torch.testing.assert_close(embed(network, [recording])[0], embedding, atol=1e-3, rtol=1e-3)
    assert torch.pdist(together).min() > 0.1, "different recordings, different embeddings"


def test_each_frame_of_a_recording_counts(network: CamPlusPlus) -> None:
    recording = torch.randn(251, MEL_BINS, generator=torch.Generator().manual_seed(2))
    (before,) = embed(network, [recording])
    for frame in (0, 125, 250):
        changed = recording.clone()
        changed[frame] += 5
        (after,) = embed(network, [changed])
        assert (after - before).abs().max() > 1e-3, f"frame {frame} is not heard"


def test_two_frames_have_no_deviation() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        Layout([10, 2], torch.device("cpu"))


@pytest.mark.engine
def test_the_published_weights_are_all_used(published: CamPlusPlus) -> None:
    assert sum(parameter.numel() for parameter in published.parameters()) == 6_848_544
    # The statistics of the batch norms, which the paper's 7 million don't count, but for 105 step counters.
    assert sum(value.numel() for value in published.state_dict().values()) == 6_930_842


@pytest.mark.engine
def test_the_embedding_is_that_of_another_implementation(published: CamPlusPlus) -> None:
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    with wave.open(str(conversation())) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    excerpt = samples[reference["first_sample"] : reference["last_sample"]].astype(np.float32) / 32_768
    frames = Filterbank()(torch.from_numpy(excerpt))
    (embedding,) = embed(published, [frames - frames.mean(dim=0)])
    expected = torch.tensor(reference["embedding"])
    assert torch.cosine_similarity(embedding, expected, dim=0) > 0.99999
    torch.testing.assert_close(embedding, expected, atol=1e-3, rtol=1e-3)
