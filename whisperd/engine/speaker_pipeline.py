"""The diarization pipeline: pyannote's, put together from a model's directory.

A directory with a `config.yaml` holds a pipeline of pyannote's own kind (`community-1`, or one that the
user has trained) and is loaded as that says. One without holds two networks, segmentation-3.0 and CAM++,
and gets the parameters of pyannote's pipeline 3.1.
"""

# mypy: allow-subclassing-any
# (pyannote's types are not read.)

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pyannote.core import SlidingWindow, SlidingWindowFeature
from torch import Tensor

from whisperd.engine import campplus, segmentation
from whisperd.engine.embedding import SpeakerEmbedding
from whisperd.engine.lanes import side_by_side
from whisperd.engine.pyannote_audio import (
    PLDA,
    AgglomerativeClustering,
    Audio,
    Pipeline,
    SpeakerDiarization,
    binarize,
)
from whisperd.engine.representatives import representatives
from whisperd.engine.windows import Windows
from whisperd.protocol import SAMPLE_RATE_HZ

_CONFIG: Final = "config.yaml"
_SEGMENTATION: Final = Path("segmentation", "pytorch_model.bin")
_EMBEDDING: Final = Path("embedding", "campplus_cn_en_common.pt")
_PARAMETERS: Final = {
    "segmentation": {"min_duration_off": 0.0},
    "clustering": {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7045654963945799},
}

# Chunks of 10 s; and speakers of chunks.
_SEGMENTATION_BATCH: Final = {"cpu": 8, "cuda": 32}
_EMBEDDING_BATCH: Final = {"cpu": 12, "cuda": 96}

_SAME_SPEAKER: Final = 0.65
"""As `SpeakerEmbedding.same_speaker`, for an embedding that was not measured: high, because giving somebody's
name to a stranger is worse than not to know somebody."""

_CLUSTERED_EMBEDDINGS: Final = 5_000
"""Their distances to each other, which scipy holds twice, take 200 MB; a speaker who talks without a break
gives one a second."""


def load(directory: Path) -> Any:
    """The pipeline in `directory`, on the CPU.

    Raises FileNotFoundError where a file is missing, TypeError where it is another kind of pipeline, and
    whatever torch and pyannote raise where one is damaged.
    """
    if not (directory / _CONFIG).exists():
        network = campplus.load(directory / _EMBEDDING)
        return Diarization(segmentation.load(directory / _SEGMENTATION), SpeakerEmbedding(network))
    pipeline = Pipeline.from_pretrained(directory)
    if not isinstance(pipeline, SpeakerDiarization):
        raise TypeError(f"{_CONFIG} holds a {type(pipeline).__name__}, not a SpeakerDiarization")
    pipeline.legacy = False
    return pipeline


def place(pipeline: Any, device: torch.device, threads: int) -> None:
    """Move a pipeline to a device; where that is the CPU, it works on so many threads."""
    if isinstance(pipeline, Diarization) and device.type == "cpu":
        pipeline.lanes, threads = threads, 1
    torch.set_num_threads(threads)
    pipeline.to(device)


def try_out(pipeline: Any) -> None:
    """Run both networks of a pipeline once on its device: a library that is missing shows now."""
    noise = torch.randn(1, 1, SAMPLE_RATE_HZ, generator=torch.Generator().manual_seed(0)) / 100
    pipeline({"waveform": noise[0], "sample_rate": SAMPLE_RATE_HZ})
    embedding_of(pipeline)(noise, masks=torch.ones(1, 100))


@contextlib.contextmanager
def half_the_batch(pipeline: Any) -> Iterator[None]:
    """Let both networks of a pipeline work on half as much at once."""
    holders = [
        (pipeline, "segmentation_batch_size"),
        (pipeline, "embedding_batch_size"),
        (embedding_of(pipeline), "frames_at_once"),
    ]
    before = [(holder, name, getattr(holder, name)) for holder, name in holders if hasattr(holder, name)]
    for holder, name, size in before:
        setattr(holder, name, max(1, size // 2))
    try:
        yield
    finally:
        for holder, name, size in before:
            setattr(holder, name, size)


def speech(
    pipeline: Any, recording: Mapping[str, Any], hook: Callable[..., None]
) -> list[tuple[float, float]]:
    """Where in a recording anybody talks: from and to, in seconds."""
    segmentations = pipeline.get_segmentations(recording, hook=hook)
    network = pipeline._segmentation.model  # noqa: SLF001 - pyannote has no other name for it
    if not network.specifications.powerset:
        segmentations = binarize(segmentations, onset=pipeline.segmentation.threshold, initial_state=False)
    count = pipeline.speaker_count(segmentations, network.receptive_field, warm_up=(0.0, 0.0))
    count.data = np.minimum(count.data, 1)
    return [(float(part.start), float(part.end)) for part in pipeline.to_annotation(count).get_timeline()]


def embedding_of(pipeline: Any) -> Any:
    """A pipeline's speaker embedding, on the pipeline's device."""
    return pipeline._embedding  # noqa: SLF001 - pyannote has no other name for it


def same_speaker(pipeline: Any) -> float:
    """The cosine from which on a pipeline's embeddings are those of one speaker."""
    embedding = embedding_of(pipeline)
    return embedding.same_speaker if isinstance(embedding, SpeakerEmbedding) else _SAME_SPEAKER


class Diarization(SpeakerDiarization):
    """pyannote's pipeline with networks that are already loaded, in less time and memory."""

    lanes = 1
    """Threads, each of which works on a batch of its own."""

    def __init__(self, segmentation: Any, embedding: SpeakerEmbedding) -> None:
        # An oracle needs no embedding, so that pyannote loads none of its own.
        super().__init__(
            segmentation=segmentation,
            clustering="OracleClustering",
            plda=_NoPLDA(),
            embedding_exclude_overlap=True,
        )
        self._embedding = embedding
        self._audio = Audio(sample_rate=embedding.sample_rate, mono="downmix")
        self.klustering = "AgglomerativeClustering"
        self.clustering = Clustering(metric=embedding.metric)
        self._expects_num_speakers = False
        self.instantiate(_PARAMETERS)

    def to(self, device: torch.device) -> "Diarization":
        """Move to a device, and work on as much at once as it likes best."""
        self.segmentation_batch_size = _SEGMENTATION_BATCH[device.type]
        self.embedding_batch_size = _EMBEDDING_BATCH[device.type]
        super().to(device)
        return self

    def get_segmentations(
        self, file: Mapping[str, Any], hook: Callable[..., None] | None = None
    ) -> SlidingWindowFeature:
        """Who of each chunk's speakers talks: (chunks, frames, speakers), 1 or 0."""
        inference = self._segmentation
        windows = self._windows(file)

        def segment(batch: slice) -> NDArray[np.uint8]:
            with torch.inference_mode():
                classes = inference.model(windows[batch][:, None].to(inference.device))
                found: NDArray[np.uint8] = inference.conversion(classes).to(torch.uint8).cpu().numpy()
            return found

        batches = _batches(len(windows), inference.batch_size)
        found = _joined(len(windows), batches, self._worked(segment, batches, "segmentation", hook))
        chunks = SlidingWindow(start=0.0, duration=inference.duration, step=inference.step)
        return SlidingWindowFeature(found, chunks)

    def get_embeddings(
        self,
        file: Mapping[str, Any],
        binary_segmentations: SlidingWindowFeature,
        exclude_overlap: bool = False,
        hook: Callable[..., None] | None = None,
    ) -> NDArray[np.float32]:
        """The voice of each chunk's speakers: (chunks, speakers, dimension), NaN where one says too little.

        Those are embedded who stand for others, too.
        """
        windows = self._windows(file)
        talking = self._embedded(binary_segmentations) if exclude_overlap else binary_segmentations.data
        chunks, frames, speakers = talking.shape
        step = (
            frames * binary_segmentations.sliding_window.step / binary_segmentations.sliding_window.duration
        )
        chosen = representatives(talking, step).ravel()
        masks = torch.from_numpy(talking.transpose(0, 2, 1).reshape(-1, frames))
        own = np.flatnonzero((chosen == np.arange(chunks * speakers)) & talking.any(axis=1).ravel())

        def embed(batch: slice) -> NDArray[np.float32]:
            rows = own[batch]
            waveforms = torch.stack([windows[row // speakers] for row in rows])
            embedded: NDArray[np.float32] = self._embedding(waveforms[:, None], masks=masks[rows])
            return embedded

        batches = _batches(len(own), self.embedding_batch_size)
        embeddings = np.full((chunks * speakers, self._embedding.dimension), np.nan, np.float32)
        for batch, embedded in zip(batches, self._worked(embed, batches, "embeddings", hook), strict=True):
            embeddings[own[batch]] = embedded
        return embeddings[chosen].reshape(chunks, speakers, -1)

    def _embedded(self, segmentations: SlidingWindowFeature) -> NDArray[np.uint8]:
        """Where each speaker talks alone; where that is too little to be embedded, all that he says."""
        talking: NDArray[np.uint8] = segmentations.data
        alone = talking * (talking.sum(axis=2, keepdims=True) < 2)
        samples = self._embedding.sample_rate * segmentations.sliding_window.duration
        least = math.ceil(talking.shape[1] * self._embedding.min_num_samples / samples)
        return np.where(alone.sum(axis=1, keepdims=True) > least, alone, talking)

    def _windows(self, file: Mapping[str, Any]) -> Windows:
        inference = self._segmentation
        waveform: Tensor = self._audio(file)[0][0]
        size = inference.model.audio.get_num_samples(inference.duration)
        return Windows(waveform, size, round(inference.step * SAMPLE_RATE_HZ))

    def _worked(
        self,
        work: Callable[[slice], NDArray[Any]],
        batches: Sequence[slice],
        stage: str,
        hook: Callable[..., None] | None,
    ) -> Iterator[NDArray[Any]]:
        """What `work` makes of the batches, on lanes; `hook` hears how many are done."""
        tell: Callable[..., None] = functools.partial(hook or _nobody, stage, None, total=len(batches))
        tell(completed=0)
        for done, result in enumerate(side_by_side(work, batches, self.lanes), 1):
            tell(completed=done)
            yield result

    def reconstruct(
        self,
        segmentations: SlidingWindowFeature,
        hard_clusters: NDArray[np.int64],
        count: SlidingWindowFeature,
    ) -> SlidingWindowFeature:
        """Which of the clusters are active in each frame: as many as `count` says, those with most votes.

        pyannote first lays out each cluster in each chunk, which takes gigabytes for an hour with ten
        speakers (pyannote-audio issue 1963). The same votes are added up here as they come.
        """
        chunks = segmentations.sliding_window
        frames = SlidingWindow(
            start=chunks.start, duration=count.sliding_window.duration, step=count.sliding_window.step
        )
        clusters = max(hard_clusters.max() + 1, count.data.max())
        votes = np.zeros((len(count.data), clusters), np.float32)
        for (chunk, scores), assigned in zip(segmentations, hard_clusters, strict=True):
            first = frames.closest_frame(chunk.start + 0.5 * frames.duration)
            for cluster in np.unique(assigned[assigned >= 0]):
                votes[first : first + len(scores), cluster] += scores[:, assigned == cluster].max(axis=1)

        ranked = np.argsort(-votes, axis=1)
        active = np.zeros_like(votes)
        np.put_along_axis(active, ranked, np.arange(clusters) < count.data, axis=1)
        return SlidingWindowFeature(active, frames)


def _nobody(*_: Any, **__: Any) -> None:
    """Hears how far the work has come."""


def _batches(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


def _joined(count: int, batches: Sequence[slice], results: Iterator[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The results of all batches, (count, ...). None is kept as it came, a small block between large ones
    that are free: the large ones behind it would find no room there."""
    first = next(results)
    joined = np.empty((count, *first.shape[1:]), first.dtype)
    for batch, result in zip(batches, itertools.chain([first], results), strict=True):
        joined[batch] = result
    return joined


class Clustering(AgglomerativeClustering):
    """Agglomerative clustering whose memory doesn't grow with the square of a long recording."""

    def filter_embeddings(
        self, *arguments: Any, **options: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """The embeddings to cluster, those of every nth chunk; the others join the nearest cluster later."""
        embeddings, chunks, speakers = super().filter_embeddings(*arguments, **options)
        kept = chunks % max(1, -(-len(embeddings) // _CLUSTERED_EMBEDDINGS)) == 0
        return embeddings[kept], chunks[kept], speakers[kept]


class _NoPLDA(PLDA):
    """What pyannote asks for and this clustering never uses: its own is gated."""

    def __init__(self) -> None:
        pass
