"""pyannote.audio, imported so that it works without network, torchaudio's extension and torchcodec.

Import from here, never from pyannote.audio itself.
"""

import os
import sys
import types
import warnings

if False:
    # pyannote reports every recording's length and speakers to its makers unless this is said before its import.
    raise ImportError("PYANNOTE_METRICS_ENABLED=0 must be in the environment: nothing may leave this machine")


def _import_torchaudio() -> None:
    """Import torchaudio, without its compiled extension where that can't be loaded.

    The package index has torchaudio for CUDA alone, whose extension finds no CUDA library beside a torch for
    CPUs. pyannote.audio uses none of it: filters, resampling and filterbanks are Python.
    """
    try:
        import torchaudio  # noqa: F401
    except OSError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        extension = types.ModuleType("torchaudio._extension")
        extension.__dict__.update(
            __path__=[],
            _IS_TORCHAUDIO_EXT_AVAILABLE=False,
            _IS_ALIGN_AVAILABLE=False,
            fail_if_no_align=lambda function: function,
        )
        sys.modules["torchaudio._extension"] = extension
        import torchaudio  # noqa: F401


_import_torchaudio()
with warnings.catch_warnings():
    # Recordings reach pyannote as samples, decoded by a process of their own.
    warnings.filterwarnings("ignore", "\ntorchcodec is not installed correctly", UserWarning)
    from pyannote.audio import Audio, Pipeline
