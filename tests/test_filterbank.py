"""The filterbank, against Kaldi's as torchaudio has it."""

import torch

from whisperd.engine.filterbank import Filterbank
from whisperd.engine.pyannote_audio import import_torchaudio


def test_it_is_kaldis() -> None:
    import_torchaudio()
    from torchaudio.compliance.kaldi import fbank

    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 20_000, generator=generator) * torch.tensor([[0.1], [1e-5]])
    hum = torch.sin(torch.arange(20_000) * 0.05)[None] + 0.3
    for waveform in (*noise, *hum):
        expected = fbank(waveform[None], num_mel_bins=80, dither=0, sample_frequency=16_000)
        torch.testing.assert_close(Filterbank()(waveform), expected, atol=2e-3, rtol=1e-4)


def test_silence_is_finite() -> None:
    assert Filterbank()(torch.zeros(1, 1_600)).isfinite().all()
