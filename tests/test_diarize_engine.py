"""The diarizer on its real model: whom it hears, what it makes of odd recordings, how it fails."""

import itertools
import logging
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diarization_error import ErrorRate, references
from numpy.typing import NDArray
from pipelines import community_shaped
from recordings import CORPUS, conversation, package_file
from scipy.io import wavfile
from weights import weights

from whisperd.engine import Cancelled, Progress
from whisperd.engine.campplus import CamPlusPlus
from whisperd.engine.diarize import Diarizer
from whisperd.errors import OutOfMemory, StartError
from whisperd.protocol import DiarizeJob, DiarizeSetup
from whisperd.transcript.model import Diarization, SpeakerHints, Turn

pytestmark = pytest.mark.engine

Run = Callable[..., Diarization]
RATE_HZ = 16_000


def diarizer_of(directory: Path) -> Diarizer:
    setup = DiarizeSetup(
        model="diarization", model_dir=str(directory), device="cpu", device_index=0, threads=1
    )
    return Diarizer(setup)


@pytest.fixture(scope="module")
def diarizer() -> Diarizer:
    return diarizer_of(weights("diarization"))


def run(
    diarizer: Diarizer,
    directory: Path,
    samples: NDArray[np.float32],
    hints: SpeakerHints = SpeakerHints(),  # noqa: B008 - frozen
    progress: Progress = lambda *_: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Diarization:
    audio = directory / "audio.f32"
    samples.astype(np.float32).tofile(audio)
    job = DiarizeJob(str(audio), len(samples), hints)
    return diarizer.run(job, progress, cancelled).diarization


def speech() -> NDArray[np.float32]:
    with wave.open(str(conversation())) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return samples.astype(np.float32) / np.float32(32_768)


EXCERPT = slice(6 * RATE_HZ, 18 * RATE_HZ)
"""Of the conversation: both talk, and it is more than one chunk."""


def speakers(turns: list[Turn]) -> list[str]:
    return sorted({turn.speaker for turn in turns})


@pytest.fixture(scope="module")
def heard(diarizer: Diarizer, tmp_path_factory: pytest.TempPathFactory) -> Diarization:
    """The conversation of two on the telephone, diarized once for several tests."""
    return run(diarizer, tmp_path_factory.mktemp("heard"), speech())


@pytest.fixture(scope="module")
def excerpt(diarizer: Diarizer, tmp_path_factory: pytest.TempPathFactory) -> Diarization:
    """A part of it, likewise."""
    return run(diarizer, tmp_path_factory.mktemp("excerpt"), speech()[EXCERPT])


# ---- whom it hears -------------------------------------------------------------------------------


def test_a_conversation_of_two_is_told_apart(heard: Diarization) -> None:
    (reference,) = references(package_file("pyannote.audio", "sample", "sample.rttm")).values()
    assert speakers(heard.turns) == ["SPEAKER_00", "SPEAKER_01"]
    assert ErrorRate().add(reference, heard.turns, 30) < 0.06


def test_turns_are_in_order_and_named_as_they_appear(heard: Diarization) -> None:
    for turns in (heard.turns, heard.exclusive):
        assert [turn.start for turn in turns] == sorted(turn.start for turn in turns)
        assert all(0 <= turn.start < turn.end <= 30 for turn in turns)
        assert all(round(time, 3) == time for turn in turns for time in (turn.start, turn.end))
    assert heard.turns[0].speaker == "SPEAKER_00"


def test_exclusive_turns_never_overlap_and_others_may(heard: Diarization) -> None:
    def overlaps(turns: list[Turn]) -> bool:
        return any(one.end > other.start for one, other in itertools.pairwise(turns))

    assert overlaps(heard.turns)
    assert not overlaps(heard.exclusive)
    assert speakers(heard.exclusive) == speakers(heard.turns)


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        (SpeakerHints(exactly=3), 3),
        (SpeakerHints(at_least=3), 3),
        (SpeakerHints(at_most=1), 1),
        (SpeakerHints(at_least=1, at_most=5), 2),
    ],
)
def test_hints_reach_the_pipeline(
    diarizer: Diarizer, tmp_path: Path, hints: SpeakerHints, expected: int
) -> None:
    assert len(speakers(run(diarizer, tmp_path, speech(), hints).turns)) == expected


def test_a_hint_that_can_not_be_met_is_not_an_error(
    diarizer: Diarizer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    found = run(diarizer, tmp_path, speech()[EXCERPT], SpeakerHints(exactly=9))
    assert 1 <= len(speakers(found.turns)) < 9
    assert "outside the given bounds" in caplog.text
    assert capsys.readouterr() == ("", "")


def test_meetings_are_heard_as_well_as_they_were(diarizer: Diarizer, tmp_path: Path) -> None:
    meetings = CORPUS / "meetings"
    if not meetings.is_dir():
        pytest.skip(f"{meetings} is absent")
    error = ErrorRate()
    for name, reference in references(meetings / "reference.rttm").items():
        _, samples = wavfile.read(meetings / f"{name}.wav")
        error.add(reference, run(diarizer, tmp_path, samples).turns, len(samples) / RATE_HZ)
    # Far-field and short: some turns are too faint for the segmentation, whichever the embedding.
    assert error.total < 0.24


# ---- odd recordings ------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [0, 1, 399, 719, 1_600, 16_000, 160_000, 160_001])
def test_silence_has_no_speakers(diarizer: Diarizer, tmp_path: Path, samples: int) -> None:
    assert run(diarizer, tmp_path, np.zeros(samples, np.float32)) == Diarization([], [])


@pytest.mark.parametrize("samples", [1, 399, 719, 1_600, 16_000, 160_001])
def test_noise_and_snatches_of_speech_do_no_harm(diarizer: Diarizer, tmp_path: Path, samples: int) -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=samples).astype(np.float32)
    start = 11 * RATE_HZ
    for odd in (noise, speech()[start : start + samples], np.full(samples, np.nan, np.float32)):
        for hints in (SpeakerHints(), SpeakerHints(exactly=2)):
            found = run(diarizer, tmp_path, odd, hints)
            assert all(0 <= turn.start < turn.end <= samples / RATE_HZ for turn in found.turns)


# ---- progress, cancelling, failing ---------------------------------------------------------------


def test_progress_only_grows_and_ends_at_the_end(diarizer: Diarizer, tmp_path: Path) -> None:
    positions: list[float] = []
    run(diarizer, tmp_path, speech(), progress=lambda position_s, *_: positions.append(position_s))
    assert len(positions) > 5
    assert positions == sorted(positions)
    assert positions[-1] == 30
    assert {type(position) for position in positions} == {float}


@pytest.mark.parametrize("position_s", [0, 2, 3.5])
def test_a_cancelled_job_stops_and_the_next_one_runs(
    diarizer: Diarizer, tmp_path: Path, excerpt: Diarization, position_s: float
) -> None:
    positions: list[float] = []
    with pytest.raises(Cancelled):
        run(
            diarizer,
            tmp_path,
            speech()[EXCERPT],
            progress=lambda position_s, *_: positions.append(position_s),
            cancelled=lambda: bool(positions) and positions[-1] >= position_s,
        )
    assert positions[-1] < 12
    assert run(diarizer, tmp_path, speech()[EXCERPT]) == excerpt


class Failing:
    """The embedding's network, which fails as a full card would, a number of times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int, error: Exception) -> None:
        self.frames: list[int] = []
        forward = CamPlusPlus.forward

        def failing(network: CamPlusPlus, frames: torch.Tensor, layout: Any) -> Any:
            self.frames.append(len(frames))
            if len(self.frames) <= times:
                raise error
            return forward(network, frames, layout)

        monkeypatch.setattr(CamPlusPlus, "forward", failing)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError("batch_size (8) is probably too large."),
    ],
)
def test_when_memory_is_short_it_tries_once_more_with_less(
    diarizer: Diarizer,
    tmp_path: Path,
    heard: Diarization,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    failing = Failing(monkeypatch, 1, error)
    assert run(diarizer, tmp_path, speech()) == heard
    first, *others = failing.frames
    assert max(others) <= first // 2
    failing.frames.clear()
    monkeypatch.undo()
    again = Failing(monkeypatch, 0, error)
    run(diarizer, tmp_path, speech())
    assert max(again.frames) == first, "the next recording gets the whole batch again"


def test_when_memory_stays_short_it_says_so(
    diarizer: Diarizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, 2, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(OutOfMemory, match="not enough memory"):
        run(diarizer, tmp_path, speech()[EXCERPT])


def test_another_failure_is_not_taken_for_one_of_memory(
    diarizer: Diarizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, 1, RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        run(diarizer, tmp_path, speech()[EXCERPT])
    assert len(failing.frames) == 1


# ---- other models --------------------------------------------------------------------------------


def test_a_directory_with_a_pipeline_of_its_own_is_loaded_as_it_says(tmp_path: Path) -> None:
    directory = tmp_path / "pipeline"
    directory.mkdir()
    diarizer = diarizer_of(community_shaped(directory))
    assert type(diarizer._pipeline.clustering).__name__ == "VBxClustering"
    found = run(diarizer, tmp_path, speech()[EXCERPT])
    # Its embedding has learnt nothing: that there are turns is all that can be asked.
    assert found.turns
    assert found.exclusive


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"campplus_cn_en_common\.pt is missing") as caught:
        diarizer_of(tmp_path)
    assert str(tmp_path) not in caught.value.message


def test_a_pipeline_of_another_kind_is_refused(tmp_path: Path) -> None:
    config = "pipeline: {name: pyannote.audio.pipelines.clustering.AgglomerativeClustering}\n"
    (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
    with pytest.raises(StartError, match="another kind"):
        diarizer_of(tmp_path)


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    for part in ("segmentation/pytorch_model.bin", "embedding/campplus_cn_en_common.pt"):
        whole = (weights("diarization") / part).read_bytes()
        (tmp_path / part).parent.mkdir()
        (tmp_path / part).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StartError, match="damaged"):
        diarizer_of(tmp_path)


def test_a_device_that_is_not_there_is_not_replaced_by_another() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    setup = DiarizeSetup(
        model="diarization",
        model_dir=str(weights("diarization")),
        device="cuda",
        device_index=0,
        threads=1,
    )
    with pytest.raises(StartError, match="no CUDA device"):
        Diarizer(setup)
