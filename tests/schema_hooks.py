"""What schemathesis sends for a recording, a short one or bytes that are none; and how long it waits."""

import io
import math
import struct
import wave
from typing import Any

import schemathesis
from hypothesis import strategies as st

RATE_HZ = 16_000


def tone() -> bytes:
    """Half a second of 440 Hz as a WAV file."""
    samples = (int(10_000 * math.sin(math.tau * 440 * n / RATE_HZ)) for n in range(RATE_HZ // 2))
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return written.getvalue()


schemathesis.openapi.format("binary", st.sampled_from([tone(), b"no recording"]) | st.binary(max_size=100))


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:  # noqa: ARG001
    """Wait for no job as long as one may."""
    if query and query.get("wait") in range(2, 61):
        return query | {"wait": 1}
    return query
