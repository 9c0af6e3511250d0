"""Windows of a waveform."""

import pytest
import torch

from whisperd.engine.windows import Windows


@pytest.mark.parametrize(
    ("samples", "windows"), [(1, 1), (9, 1), (10, 1), (11, 2), (13, 2), (14, 3), (22, 5)]
)
def test_every_sample_is_in_a_window(samples: int, windows: int) -> None:
    assert len(Windows(torch.ones(samples), 10, 3)) == windows


def test_windows_overlap_and_the_last_ends_in_silence() -> None:
    windows = Windows(torch.arange(1, 13), 10, 3)
    assert windows[0].tolist() == [*range(1, 11)]
    assert windows[1].tolist() == [*range(4, 13), 0]


def test_a_whole_window_shares_the_memory_of_the_waveform() -> None:
    waveform = torch.zeros(12)
    Windows(waveform, 10, 3)[0][4] = 1
    assert waveform[4] == 1


def test_a_slice_holds_no_more_windows_than_there_are() -> None:
    windows = Windows(torch.arange(12), 10, 3)
    assert torch.equal(windows[0:8], torch.stack([windows[0], windows[1]]))
    assert windows[1:8].shape == (1, 10)
