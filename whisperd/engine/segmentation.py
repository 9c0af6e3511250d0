"""segmentation-3.0, the network that hears up to three speakers in 10 s, as fast as a CPU can run it."""

# mypy: allow-subclassing-any
# (pyannote's types are not read.)

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from whisperd.engine.pyannote_audio import Problem, PyanNet, Resolution, SincNet, Specifications


class Segmentation(PyanNet):
    """pyannote's network with the same output to the bit, in less time."""

    def __init__(self, **hyper_parameters: Any) -> None:
        super().__init__(**hyper_parameters)
        self.sincnet = _OneByOne(**self.hparams.sincnet)


class _OneByOne(SincNet):
    """Filters one recording of a batch after the other: what they give together fits into no cache of a CPU.

    (The recurrent layers behind it do want a batch, whose weights they load once for each frame.)
    """

    def forward(self, waveforms: Tensor) -> Tensor:
        """(batch, 1, samples) to (batch, features, frames)."""
        if waveforms.device.type != "cpu":
            return super().forward(waveforms)
        return torch.cat([super(_OneByOne, self).forward(waveform) for waveform in waveforms.split(1)])


def load(path: Path) -> Segmentation:
    """The network in `path`. A checkpoint can hold any pickled object; here, none but these."""
    with torch.serialization.safe_globals([Specifications, Problem, Resolution, TorchVersion]):
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    network = Segmentation(**checkpoint["hyper_parameters"])
    network.on_load_checkpoint(checkpoint)
    network.load_state_dict(checkpoint["state_dict"], strict=True)
    return network.eval()  # type: ignore[no-any-return]
