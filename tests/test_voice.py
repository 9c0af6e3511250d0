"""A second look at whether anybody speaks."""

import numpy as np
import pytest
from faster_whisper import decode_audio
from recordings import conversation

from whisperd.engine.voice import speaks, speech

pytestmark = pytest.mark.engine


def test_a_voice_is_heard_and_silence_and_noise_are_not() -> None:
    voice = decode_audio(str(conversation()))[13 * 16_000 : 17 * 16_000]
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    assert speaks(voice)
    assert speech(voice)
    for nothing in (np.zeros(32_000, np.float32), noise):
        assert not speaks(nothing)
        assert speech(nothing) == []
