"""Log-mel features of a chunk, and how much of Whisper's window is encoded with them.

Whisper was trained on windows of 30 s, which short recordings leave empty for the most part. Encoding the
emptiness costs what speech would, and the encoder takes shorter windows. But what comes after the speech has
to look like silence: after anything else the decoder goes on talking.
"""

from typing import Final

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from whisperd.engine.chunks import WINDOW_S, Audio

Mel = NDArray[np.float32]
"""Shape (mels, frames)."""

FRAMES_PER_S: Final = 100
WINDOW: Final = WINDOW_S * FRAMES_PER_S
_STEP: Final = 2 * FRAMES_PER_S
"""Contexts are multiples of this, so that clips of about one length share a batch."""
_MARGIN: Final = 5 * FRAMES_PER_S
"""Silence that follows the speech, at the least."""
_SHORTEST: Final = 10 * FRAMES_PER_S
"""In shorter windows the decoder more often does not find the end."""
_LONGEST: Final = 18 * FRAMES_PER_S
"""In longer ones it often stops early, and decoding once more costs more than the full window would have."""
_DYNAMIC_RANGE: Final = 2.0
"""The extractor clips what is weaker than the loudest by more than this: 80 dB, as it scales them."""


def mel(extractor: FeatureExtractor, audio: Audio) -> Mel:
    """The features of at most 30 s."""
    # The extractor adds 10 ms of silence, and so a frame in which nobody can speak.
    features: Mel = extractor(audio)[:, :-1][:, :WINDOW]
    return features


def fitted(frames: int) -> int:
    """How many frames to encode for so many of speech."""
    wanted = max(frames + _MARGIN, _SHORTEST)
    window = -(-wanted // _STEP) * _STEP
    return window if window <= _LONGEST else WINDOW


def padded(features: Mel, frames: int) -> Mel:
    """Followed by silence up to so many frames, or in the full window by zeros as faster-whisper has them."""
    silence = features.max() - _DYNAMIC_RANGE if frames < WINDOW else 0.0
    whole = np.full((features.shape[0], frames), silence, np.float32)
    whole[:, : features.shape[1]] = features
    return whole


def voice_end(features: Mel) -> float:
    """Seconds until the last sound about as loud as the voice."""
    loudness = features.mean(axis=0)
    low, high = np.percentile(loudness, (5, 95))
    loud = np.flatnonzero(loudness > low + (high - low) / 2)
    return float(loud[-1] + 1) / FRAMES_PER_S if loud.size else 0.0
