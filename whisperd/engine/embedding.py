"""CAM++ as pyannote's pipelines expect a speaker embedding: speech and masks in, one vector each out."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from whisperd.engine.campplus import DIMENSION, MIN_FRAMES, CamPlusPlus, Layout, room
from whisperd.engine.filterbank import FRAME_SAMPLES, MEL_BINS, SHIFT_SAMPLES, Filterbank
from whisperd.engine.pyannote_audio import BaseInference
from whisperd.protocol import SAMPLE_RATE_HZ

# Filterbank frames that go through the network together: on the CPU, more of them leave its caches; on a
# GPU, each takes some 40 KB.
_CPU_FRAMES: Final = 2_048
_GPU_FRAMES: Final = 16_384


class SpeakerEmbedding(BaseInference):  # type: ignore[misc]  # pyannote's types are not read
    """Embeds the speech of one speaker in each row of a batch."""

    sample_rate: Final = SAMPLE_RATE_HZ
    dimension: Final = DIMENSION
    metric: Final = "cosine"
    same_speaker: Final = 0.5
    """The cosine from which on two voices are one: few of one speaker are less alike, and no two speakers of
    those measured are more so (tests/benchmarks/README.md)."""
    min_num_samples: Final = FRAME_SAMPLES + (MIN_FRAMES - 1) * SHIFT_SAMPLES

    def __init__(self, network: CamPlusPlus) -> None:
        self.frames_at_once = _CPU_FRAMES
        self._network = network
        self._filterbank = Filterbank()
        self.device = torch.device("cpu")

    def to(self, device: torch.device) -> "SpeakerEmbedding":
        """Move to a device."""
        self._network.to(device)
        self._filterbank = Filterbank(device)
        self.device = device
        self.frames_at_once = _CPU_FRAMES if device.type == "cpu" else _GPU_FRAMES
        return self

    def __call__(self, waveforms: Tensor, masks: Tensor | None = None) -> NDArray[np.float32]:
        """Embed (batch, 1, samples), of each row what its mask, (batch, any number of frames), selects.

        Returns (batch, dimension); a row with too little speech is NaN.
        """
        frames = max(1, 1 + (waveforms.shape[-1] - FRAME_SAMPLES) // SHIFT_SAMPLES)
        if masks is None:
            masks = torch.ones(len(waveforms), 1)
        selected = functional.interpolate(masks[:, None].float(), size=frames, mode="nearest")[:, 0] > 0.5
        lengths: list[int] = selected.sum(dim=1).tolist()
        embeddings = np.full((len(waveforms), DIMENSION), np.nan, np.float32)
        rows = [row for row, length in enumerate(lengths) if length >= MIN_FRAMES]
        if not rows:
            return embeddings

        with torch.inference_mode():
            features = self._features(waveforms, rows)
            for part in _parts({row: room(lengths[row]) for row in rows}, self.frames_at_once):
                speech = [features[row][selected[row].nonzero()[:, 0].to(self.device)] for row in part]
                embeddings[part] = self._embed(speech)
        return embeddings

    def _features(self, waveforms: Tensor, rows: Sequence[int]) -> dict[int, Tensor]:
        """The filterbank of each row. The pipeline repeats a chunk for each of its speakers: do it once."""
        features: dict[int, Tensor] = {}
        known: int | None = None
        for row in rows:
            if known is not None and torch.equal(waveforms[row], waveforms[known]):
                features[row] = features[known]
            else:
                features[row] = self._filterbank(waveforms[row, 0].to(self.device))
                known = row
        return features

    def _embed(self, speech: Sequence[Tensor]) -> NDArray[np.float32]:
        layout = Layout([len(frames) for frames in speech], self.device)
        packed = torch.zeros(layout.frames, MEL_BINS, device=self.device)
        for start, frames in zip(layout.starts, speech, strict=True):
            packed[start : start + len(frames)] = frames - frames.mean(dim=0)
        embeddings: NDArray[np.float32] = self._network(packed, layout).cpu().numpy()
        return embeddings


def _parts(sizes: Mapping[int, int], limit: int) -> list[list[int]]:
    """Share rows out to parts of at most `limit` together: the largest first, each where it first fits."""
    parts: list[list[int]] = []
    left: list[int] = []
    for row, size in sorted(sizes.items(), key=lambda item: -item[1]):
        index = next((index for index, free in enumerate(left) if free >= size), len(parts))
        if index == len(parts):
            parts.append([])
            left.append(limit)
        parts[index].append(row)
        left[index] -= size
    return parts
