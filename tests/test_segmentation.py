"""The segmentation network, against pyannote's."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from weights import weights

from whisperd.engine import segmentation


@pytest.mark.engine
def test_a_batch_gives_what_it_gives_with_pyannote_to_the_bit() -> None:
    from pyannote.audio import Model

    # More threads than free cores wait for each other.
    torch.set_num_threads(1)
    path = weights("diarization") / "segmentation" / "pytorch_model.bin"
    waveforms = torch.randn(3, 1, 160_000, generator=torch.Generator().manual_seed(0)) / 10
    waveforms[1, :, 80_000:] = 0
    with torch.inference_mode():
        ours = segmentation.load(path)(waveforms)
        theirs = Model.from_pretrained(path).eval()(waveforms)
    assert torch.equal(ours, theirs)


class Trap:
    """Something that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("sprung",))


def test_a_checkpoint_that_would_run_code_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({"state_dict": {}, "hyper_parameters": Trap()}, path)
    with pytest.raises(pickle.UnpicklingError):
        segmentation.load(path)
    assert "sprung" not in capsys.readouterr().out
