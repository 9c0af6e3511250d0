"""Known speakers on the real model: by their names where they talk, and nobody else by those."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from diarization_error import references
from numpy.typing import NDArray
from pipelines import community_shaped
from pyannote.core import Annotation, Segment
from pyannote.metrics.identification import IdentificationErrorRate
from recordings import CORPUS, conversation, package_file
from scipy.io import wavfile
from weights import weights

from whisperd.engine import Cancelled, Progress
from whisperd.engine.diarize import Diarizer
from whisperd.errors import ParameterError
from whisperd.protocol import DiarizeJob, DiarizeSetup, Voice
from whisperd.transcript.model import Diarization, SpeakerHints, Turn

pytestmark = pytest.mark.engine

RATE_HZ = 16_000
FIRST, SECOND = "speaker90", "speaker91"
"""The two on the telephone, in the order in which they appear in the excerpt."""
EXCERPT = (8.35, 18)
"""Seconds of the conversation that are diarized."""
ELSEWHERE = {FIRST: (18.6, 21.4), SECOND: (22, 27)}
"""Where, outside of those, each of the two talks alone."""


def diarizer_of(directory: Path) -> Diarizer:
    setup = DiarizeSetup(
        model="diarization", model_dir=str(directory), device="cpu", device_index=0, threads=1
    )
    return Diarizer(setup)


@pytest.fixture(scope="module")
def diarizer() -> Diarizer:
    return diarizer_of(weights("diarization"))


def seconds(start: float, end: float) -> NDArray[np.float32]:
    """A part of the conversation."""
    _, samples = wavfile.read(conversation())
    part: NDArray[np.float32] = samples[round(start * RATE_HZ) : round(end * RATE_HZ)].astype(np.float32)
    return part / np.float32(32_768)


def voice(directory: Path, name: str, samples: NDArray[np.float32]) -> Voice:
    audio = directory / f"{name}.f32"
    samples.tofile(audio)
    return Voice(name, str(audio), len(samples))


def voice_of(directory: Path, speaker: str, name: str | None = None) -> Voice:
    """One of the two, from where the other is silent."""
    return voice(directory, name or speaker, seconds(*ELSEWHERE[speaker]))


def run(
    diarizer: Diarizer,
    directory: Path,
    *voices: Voice,
    progress: Progress = lambda *_: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Diarization:
    audio = directory / "excerpt.f32"
    samples = seconds(*EXCERPT)
    samples.tofile(audio)
    job = DiarizeJob(str(audio), len(samples), SpeakerHints(), list(voices))
    return diarizer.run(job, progress, cancelled).diarization


def speakers(turns: list[Turn]) -> list[str]:
    """As they appear."""
    return list(dict.fromkeys(turn.speaker for turn in turns))


def test_both_are_known_and_each_is_who_it_is(diarizer: Diarizer, tmp_path: Path) -> None:
    found = run(diarizer, tmp_path, voice_of(tmp_path, SECOND), voice_of(tmp_path, FIRST))
    assert speakers(found.turns) == speakers(found.exclusive) == [FIRST, SECOND]
    (whole,) = references(package_file("pyannote.audio", "sample", "sample.rttm")).values()
    said, heard = Annotation(), Annotation()
    for part, track, label in whole.crop(Segment(*EXCERPT)).itertracks(yield_label=True):
        said[Segment(part.start - EXCERPT[0], part.end - EXCERPT[0]), track] = label
    for number, turn in enumerate(found.turns):
        heard[Segment(turn.start, turn.end), number] = turn.speaker
    assert IdentificationErrorRate()(said, heard, uem=Segment(0, EXCERPT[1] - EXCERPT[0])) < 0.1


def test_who_is_not_known_keeps_the_number(diarizer: Diarizer, tmp_path: Path) -> None:
    plain = run(diarizer, tmp_path)
    assert speakers(plain.turns) == ["SPEAKER_00", "SPEAKER_01"]
    found = run(diarizer, tmp_path, voice_of(tmp_path, FIRST, "Diane"))
    assert speakers(found.turns) == ["Diane", "SPEAKER_01"]
    found = run(diarizer, tmp_path, voice_of(tmp_path, SECOND, "Sheila"))
    assert speakers(found.turns) == ["SPEAKER_00", "Sheila"]
    assert [(turn.start, turn.end) for turn in found.turns] == [
        (turn.start, turn.end) for turn in plain.turns
    ]


def test_two_names_for_one_voice_do_not_name_the_other_one_too(diarizer: Diarizer, tmp_path: Path) -> None:
    found = run(diarizer, tmp_path, voice_of(tmp_path, FIRST, "Diane"), voice_of(tmp_path, FIRST, "Diana"))
    first, second = speakers(found.turns)
    assert first in ("Diane", "Diana")
    assert second == "SPEAKER_01"


def test_no_stranger_gets_the_name_of_one_who_is_not_there(diarizer: Diarizer, tmp_path: Path) -> None:
    recording = CORPUS / "speech" / "spk1_snt2.wav"
    if not recording.exists():
        pytest.skip(f"{recording} is absent")
    _, samples = wavfile.read(recording)
    absent = voice(tmp_path, "Absent", samples.astype(np.float32) / np.float32(32_768))
    assert speakers(run(diarizer, tmp_path, absent).turns) == ["SPEAKER_00", "SPEAKER_01"]


def test_no_stranger_has_a_number_that_is_somebodys_name(diarizer: Diarizer, tmp_path: Path) -> None:
    found = run(diarizer, tmp_path, voice_of(tmp_path, SECOND, "SPEAKER_00"))
    assert speakers(found.turns) == ["SPEAKER_01", "SPEAKER_00"]


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        seconds(18.1, 18.5),
        np.zeros(4 * RATE_HZ, np.float32),
        np.concatenate([np.zeros(2 * RATE_HZ, np.float32), seconds(18.1, 18.4)]),
    ],
    ids=["nothing", "too short", "silence", "a snatch in silence"],
)
def test_a_recording_that_tells_no_voice_is_refused_by_its_name(
    diarizer: Diarizer, tmp_path: Path, samples: NDArray[np.float32]
) -> None:
    positions: list[float] = []
    with pytest.raises(ParameterError, match=r"'Bob' has too little speech.*at least 0\.5 s"):
        run(
            diarizer,
            tmp_path,
            voice_of(tmp_path, FIRST, "Ann"),
            voice(tmp_path, "Bob", samples),
            progress=lambda position_s, *_: positions.append(position_s),
        )
    assert set(positions) == {0.0}, "before any other work"


@pytest.mark.parametrize("end", ["while known voices are heard", "while voices are compared"])
def test_a_cancelled_job_stops(diarizer: Diarizer, tmp_path: Path, end: str) -> None:
    reached = {"while known voices are heard": 0, "while voices are compared": EXCERPT[1] - EXCERPT[0]}[end]
    positions: list[float] = []
    with pytest.raises(Cancelled):
        run(
            diarizer,
            tmp_path,
            voice_of(tmp_path, FIRST),
            progress=lambda position_s, *_: positions.append(position_s),
            cancelled=lambda: bool(positions) and positions[-1] >= reached,
        )
    assert positions[-1] == reached
    assert positions == sorted(positions)


def test_a_pipeline_of_another_kind_knows_voices_too(tmp_path: Path) -> None:
    directory = tmp_path / "pipeline"
    directory.mkdir()
    other = diarizer_of(community_shaped(directory))
    plain = run(other, tmp_path)
    found = run(other, tmp_path, voice_of(tmp_path, FIRST), voice_of(tmp_path, SECOND))
    # Its embedding has learnt nothing, and takes everybody for everybody.
    named = [name for name in speakers(found.turns) if name in (FIRST, SECOND)]
    assert named
    assert len(speakers(found.turns)) == len(speakers(plain.turns))
    assert [(turn.start, turn.end) for turn in found.turns] == [
        (turn.start, turn.end) for turn in plain.turns
    ]
