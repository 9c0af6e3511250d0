"""The diarizer on two lanes: it hears what it hears on one, and ends as one does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recordings import conversation
from scipy.io import wavfile
from weights import weights

from whisperd.engine import Cancelled
from whisperd.engine.campplus import CamPlusPlus
from whisperd.engine.diarize import Diarizer
from whisperd.engine.voices import Samples
from whisperd.protocol import DiarizeJob, DiarizeSetup
from whisperd.transcript.model import Diarization, SpeakerHints

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """torch has as many threads afterwards as before."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def samples() -> Samples:
    """14 s in which two talk: five windows, so that batches of 2 keep two lanes busy."""
    rate_hz, whole = wavfile.read(conversation())
    excerpt: Samples = whole[6 * rate_hz : 20 * rate_hz].astype(np.float32) / np.float32(32_768)
    return excerpt


def diarizer(threads: int) -> Diarizer:
    """With batches so small that a short recording has several."""
    made = Diarizer(
        DiarizeSetup(
            model="diarization",
            model_dir=str(weights("diarization")),
            device="cpu",
            device_index=0,
            threads=threads,
        )
    )
    made._pipeline.segmentation_batch_size = made._pipeline.embedding_batch_size = 2
    return made


def job(directory: Path, samples: Samples) -> DiarizeJob:
    audio = directory / "audio.f32"
    samples.tofile(audio)
    return DiarizeJob(str(audio), len(samples), SpeakerHints())


def heard(one: Diarizer, directory: Path, samples: Samples) -> Diarization:
    return one.run(job(directory, samples), lambda *_: None, lambda: False).diarization


def test_threads_are_lanes_of_one_thread_each() -> None:
    assert diarizer(2)._pipeline.lanes == 2
    assert torch.get_num_threads() == 1


def test_networks_say_the_same_on_one_lane_and_on_two(samples: Samples) -> None:
    recording = {"waveform": torch.from_numpy(samples)[None], "sample_rate": 16_000}
    said: list[tuple[Any, Any]] = []
    for lanes in (1, 2):
        pipeline = diarizer(lanes)._pipeline
        segmented = pipeline.get_segmentations(recording)
        said.append((segmented.data, pipeline.get_embeddings(recording, segmented, exclude_overlap=True)))
    (one, voices), (two, same_voices) = said
    assert one.any()
    assert np.isfinite(voices).any()
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(voices, same_voices)


def test_the_same_turns_come_of_one_lane_and_of_two(tmp_path: Path, samples: Samples) -> None:
    found = heard(diarizer(1), tmp_path, samples)
    assert len({turn.speaker for turn in found.turns}) == 2
    assert heard(diarizer(2), tmp_path, samples) == found


def test_progress_only_grows_on_two_lanes_and_cancelling_ends_both(tmp_path: Path, samples: Samples) -> None:
    one = diarizer(2)
    positions: list[float] = []
    with pytest.raises(Cancelled):
        one.run(
            job(tmp_path, samples),
            lambda position_s, *_: positions.append(position_s),
            lambda: bool(positions) and positions[-1] > 8,
        )
    assert positions == sorted(positions)
    assert 8 < positions[-1] < 14
    assert heard(one, tmp_path, samples).turns


def test_a_lane_that_runs_out_of_memory_makes_both_try_once_more(
    tmp_path: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = diarizer(2)
    found = heard(one, tmp_path, samples)
    forward = CamPlusPlus.forward
    failures = iter([MemoryError("full")])

    def failing(network: CamPlusPlus, *arguments: Any) -> Any:
        for failure in failures:
            raise failure
        return forward(network, *arguments)

    monkeypatch.setattr(CamPlusPlus, "forward", failing)
    assert heard(one, tmp_path, samples) == found
    assert next(failures, None) is None
