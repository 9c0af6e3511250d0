"""What our pipeline does in another way than pyannote's, against pyannote's."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pyannote.core import SlidingWindow, SlidingWindowFeature
from untrained import untrained

from whisperd.engine import speaker_pipeline
from whisperd.engine.embedding import SpeakerEmbedding
from whisperd.engine.pyannote_audio import AgglomerativeClustering, SpeakerDiarization
from whisperd.engine.speaker_pipeline import Clustering, Diarization

CHUNKS, FRAMES, SPEAKERS = 40, 589, 3


def segmentations(seed: int = 0) -> SlidingWindowFeature:
    """Who of three speakers is active in each frame of each chunk of 10 s, at random but in stretches."""
    generator = np.random.default_rng(seed)
    active = generator.random((CHUNKS, FRAMES // 19, SPEAKERS)).repeat(19, axis=1) < 0.4
    return SlidingWindowFeature(active.astype(np.float32), SlidingWindow(start=0, duration=10, step=1))


def bare(kind: Any) -> Any:
    """A pipeline without networks."""
    return kind.__new__(kind)


@pytest.mark.parametrize("clusters", [1, 2, 7])
@pytest.mark.parametrize("at_once", [1, 3])
def test_frames_go_to_the_speakers_that_pyannote_gives_them_to(clusters: int, at_once: int) -> None:
    segmented = segmentations()
    frame = SlidingWindow(start=0, duration=0.0619375, step=0.016875)
    count = SpeakerDiarization.speaker_count(segmented, frame, warm_up=(0.0, 0.0))
    count.data = np.minimum(count.data, at_once)
    assigned = np.random.default_rng(1).integers(0, clusters, (CHUNKS, SPEAKERS))
    assigned[segmented.data.sum(axis=1) == 0] = -2
    assigned[5, 1] = -2
    ours = bare(Diarization).reconstruct(segmented, assigned, count)
    theirs = SpeakerDiarization.reconstruct(bare(SpeakerDiarization), segmented, assigned, count)
    assert np.array_equal(ours.data, theirs.data)
    assert ours.data.any()
    assert (ours.sliding_window.start, ours.sliding_window.step) == (0, frame.step)


@pytest.mark.parametrize("powerset", [True, False])
def test_speech_is_where_anybody_talks(powerset: bool) -> None:
    """Two speakers, an overlap, a pause. A segmentation that is no powerset gives scores."""
    talking = np.zeros((1, 1_000, 2), np.float32)
    talking[0, 100:400, 0] = talking[0, 300:500, 1] = talking[0, 700:800, 1] = 1
    scores = talking if powerset else talking * 0.5 + 0.3
    network = SimpleNamespace(
        specifications=SimpleNamespace(powerset=powerset),
        receptive_field=SlidingWindow(start=0, duration=0.01, step=0.01),
    )
    pipeline = SimpleNamespace(
        get_segmentations=lambda *_, **__: SlidingWindowFeature(
            scores, SlidingWindow(start=0, duration=10, step=1)
        ),
        segmentation=SimpleNamespace(threshold=0.5),
        speaker_count=SpeakerDiarization.speaker_count,
        to_annotation=SpeakerDiarization.to_annotation,
        _segmentation=SimpleNamespace(model=network),
    )
    found = speaker_pipeline.speech(pipeline, {}, lambda *_, **__: None)
    assert np.allclose(found, [(1, 5), (7, 8)], atol=0.02)


def test_the_cosine_of_one_speaker_belongs_to_the_embedding() -> None:
    campplus = SimpleNamespace(_embedding=SpeakerEmbedding(untrained()))
    other = SimpleNamespace(_embedding=object())
    assert speaker_pipeline.same_speaker(campplus) == SpeakerEmbedding.same_speaker
    assert speaker_pipeline.same_speaker(other) > SpeakerEmbedding.same_speaker


def embeddings() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Two speakers that are easy to tell apart."""
    generator = np.random.default_rng(0)
    centres = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 1.0, 0, 0]])
    return centres + generator.normal(scale=0.05, size=(CHUNKS, SPEAKERS, 4))


def cluster(kind: type[AgglomerativeClustering]) -> Any:
    clustering = kind(metric="cosine").instantiate(
        {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7}
    )
    talking = SlidingWindowFeature(
        np.eye(SPEAKERS)[np.arange(FRAMES) % SPEAKERS][None].repeat(CHUNKS, axis=0),
        SlidingWindow(start=0, duration=10, step=1),
    )
    return clustering(embeddings=embeddings(), segmentations=talking)[0]


def test_a_short_recording_is_clustered_as_pyannote_does() -> None:
    assert np.array_equal(cluster(Clustering), cluster(AgglomerativeClustering))


def test_a_long_recording_is_clustered_by_a_part_of_its_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker_pipeline, "_CLUSTERED_EMBEDDINGS", 50)
    seen = []

    class Watched(Clustering):
        def cluster(self, embeddings: Any, **bounds: Any) -> Any:
            seen.append(len(embeddings))
            return super().cluster(embeddings, **bounds)

    first, second, third = cluster(Watched).T
    assert seen == [14 * SPEAKERS]  # every third chunk
    assert len({*first}) == 1, "an embedding that was left out joins its speaker's cluster all the same"
    assert {*second} == {*third} != {*first}
