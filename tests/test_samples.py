"""A recording that is read piece by piece."""

from pathlib import Path

import numpy as np

from whisperd.engine.samples import Samples


def test_slices_are_those_of_the_array(tmp_path: Path) -> None:
    whole = np.arange(10, dtype=np.float32)
    path = tmp_path / "a.f32"
    whole.tofile(path)
    with Samples(path, 8) as samples:
        assert len(samples) == 8
        for span in (slice(2, 5), slice(0, 99), slice(5, None), slice(6, 2)):
            assert samples[span].tolist() == whole[:8][span].tolist()


def test_a_file_that_is_deleted_meanwhile_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "a.f32"
    np.ones(4, np.float32).tofile(path)
    with Samples(path, 4) as samples:
        path.unlink()
        assert samples[1:3].tolist() == [1, 1]
