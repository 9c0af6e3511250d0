"""How wrong our pipeline is, beside pyannote's own on the same weights: no more than that."""

from pathlib import Path

import pytest
from benchmarks.diarization import diarizer, recordings, run
from diarization_error import ErrorRate

pytestmark = pytest.mark.engine

MEETINGS = 2
"""Of those in the corpus, the first: each takes both pipelines 10 s of CPU, and all of them together are
compared by the benchmark."""


def test_no_more_is_wrong_than_with_pyannotes_own_pipeline(tmp_path: Path) -> None:
    """The conversation in pyannote.audio's package, and meetings where the corpus is at hand."""
    ours, theirs = ErrorRate(), ErrorRate()
    ours_at_work, theirs_at_work = diarizer(plain=False), diarizer(plain=True)
    for recording in recordings()[: 1 + MEETINGS]:
        for error, one in ((ours, ours_at_work), (theirs, theirs_at_work)):
            error.add(recording.reference, run(one, recording, tmp_path), recording.seconds)
    assert 0 < ours.total <= theirs.total
