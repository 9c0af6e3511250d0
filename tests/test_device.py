"""Which errors of a card are its last, for this process."""

import pytest

from whisperd.engine.device import is_lost


@pytest.mark.parametrize(
    "words",
    [
        "CUDA failed with error unspecified launch failure",
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later",
        "CUDA error: device-side assert triggered",
        "cuBLAS failed with status CUBLAS_STATUS_EXECUTION_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    ],
)
def test_an_error_after_which_nothing_works_is_known_by_its_words(words: str) -> None:
    assert is_lost(RuntimeError(words))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA failed with error out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
        "cuDNN error: CUDNN_STATUS_BAD_PARAM",
        "No speech was found",
    ],
)
def test_an_error_of_one_recording_is_not_taken_for_the_cards_end(words: str) -> None:
    assert not is_lost(RuntimeError(words))


def test_an_error_of_another_kind_that_speaks_of_cuda_is_none_of_the_card() -> None:
    assert not is_lost(ValueError("CUDA error: made up"))
