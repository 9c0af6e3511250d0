"""The filterbank: a waveform as the network hears it."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from whisperd.protocol import SAMPLE_RATE_HZ

MEL_BINS: Final = 80
FRAME_SAMPLES: Final = SAMPLE_RATE_HZ * 25 // 1000
SHIFT_SAMPLES: Final = SAMPLE_RATE_HZ * 10 // 1000
_FFT_SAMPLES: Final = 512
_PREEMPHASIS: Final = 0.97
_LOWEST_HZ: Final = 20.0
_FLOOR: Final = torch.finfo(torch.float32).eps


class Filterbank:
    """Log mel energies, equal to Kaldi's without dither.

    The window and the scale, samples between -1 and 1, are those that CAM++ was trained with.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        window = torch.hann_window(FRAME_SAMPLES, periodic=False).pow(0.85)
        # Triangles at even distances on the mel scale.
        mel = _mel(torch.linspace(0, SAMPLE_RATE_HZ / 2, _FFT_SAMPLES // 2 + 1))[:, None]
        edges = torch.linspace(float(_mel(torch.tensor(_LOWEST_HZ))), float(mel[-1]), MEL_BINS + 2)
        left, centre, right = edges[:-2], edges[1:-1], edges[2:]
        banks = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clamp(min=0)
        self._window = window.to(device)
        self._banks = banks.to(device)

    def __call__(self, waveform: Tensor) -> Tensor:
        """(..., samples) to (..., frames, MEL_BINS)."""
        frames = waveform.unfold(-1, FRAME_SAMPLES, SHIFT_SAMPLES)
        frames = frames - frames.mean(dim=-1, keepdim=True)
        previous = functional.pad(frames, (1, 0), mode="replicate")[..., :-1]
        frames = (frames - _PREEMPHASIS * previous) * self._window
        power = torch.fft.rfft(frames, _FFT_SAMPLES).abs().square()
        return (power @ self._banks).clamp_min(_FLOOR).log()


def _mel(hertz: Tensor) -> Tensor:
    return 1127 * (1 + hertz / 700).log()
