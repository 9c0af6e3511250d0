"""Whether a device still answers.

After some errors nothing on a card works any more for the process that met them: its context is spoilt, and
the card may be fine for another. They are known by their words alone, which CTranslate2 and torch pass on
from CUDA.
"""

from typing import Final

_SPOILT: Final = (
    "cuda error",
    "cuda failed with error",
    "status_execution_failed",
    "status_internal_error",
    "status_mapping_error",
    "status_not_initialized",
)
_SHORT_OF_MEMORY: Final = ("out of memory", "alloc_failed")


def is_lost(error: Exception) -> bool:
    """Whether the device fails whatever this process asks of it from now on."""
    words = str(error).lower()
    return (
        isinstance(error, RuntimeError)
        and any(sign in words for sign in _SPOILT)
        and not any(sign in words for sign in _SHORT_OF_MEMORY)
    )
