"""Models that tests run on, pulled once for all of them."""

from pathlib import Path

import pytest
from recordings import REPOSITORY


def weights(name: str) -> Path:
    """The directory of an installed model; the test skips where it isn't there."""
    directory = REPOSITORY / ".state" / "models" / name
    if not directory.is_dir():
        pytest.skip(f"the model {name!r} is not installed: `make models` does it")
    return directory
