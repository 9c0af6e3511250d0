"""What the engine uses of pyannote.audio, imported so that it sends nothing and needs no more than it uses.

Import it from here, never from pyannote.audio itself.
"""

import os
import sys
import types
import warnings

# Both are read at import: without them pyannote reports each recording's length and number of speakers to
# its makers, and a model that is not on the disk is asked for on the network.
os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
os.environ["HF_HUB_OFFLINE"] = "1"


def import_torchaudio() -> None:
    """Import torchaudio, without its compiled extension where that can't be loaded.

    The package index carries torchaudio for CUDA alone, and its extension finds no CUDA beside a torch for
    the CPU. pyannote.audio calls Python parts of it only: filters, filterbanks and resampling.
    """
    try:
        import torchaudio
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
        sys.modules[extension.__name__] = extension
        import torchaudio  # noqa: F401


import_torchaudio()
with warnings.catch_warnings():
    # torchcodec reads files. Recordings reach pyannote as samples, which the decoder's process has read.
    warnings.filterwarnings("ignore", "\ntorchcodec is not installed correctly", UserWarning)
    from pyannote.audio import Audio, Pipeline
    from pyannote.audio.core.inference import BaseInference
    from pyannote.audio.core.plda import PLDA
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.blocks.sincnet import SincNet
    from pyannote.audio.models.segmentation import PyanNet
    from pyannote.audio.pipelines import SpeakerDiarization
    from pyannote.audio.pipelines.clustering import AgglomerativeClustering
    from pyannote.audio.utils.signal import binarize

__all__ = [
    "PLDA",
    "AgglomerativeClustering",
    "Audio",
    "BaseInference",
    "Pipeline",
    "Problem",
    "PyanNet",
    "Resolution",
    "SincNet",
    "SpeakerDiarization",
    "Specifications",
    "binarize",
]
