"""`chunking_strategy`: how speech is told from what is none, in OpenAI's terms."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from whisperd.errors import ParameterError
from whisperd.transcript.model import Detection
from whisperd.web.fields import Values, text

CHUNKING: Final = text(
    "chunking_strategy",
    "`auto`, or a JSON object (in a form also as `chunking_strategy[type]` and so on) of `type` = "
    "`server_vad`, `threshold` (0 to 1), `prefix_padding_ms` and `silence_duration_ms`.",
    examples=["auto", '{"type": "server_vad", "threshold": 0.5}'],
)

_Milliseconds = Annotated[int, Meta(ge=0, le=60_000)]


class _ServerVad(Struct, frozen=True, forbid_unknown_fields=True):
    """The object, with the defaults that OpenAI documents."""

    type: Literal["server_vad"]
    prefix_padding_ms: _Milliseconds = 300
    silence_duration_ms: _Milliseconds = 200
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5


def read_detection(values: Values) -> Detection:
    """What was asked for; the engine's own way for `auto` and where nothing was. Raises ParameterError."""
    parts = values.parts(CHUNKING)
    sent = values.one(CHUNKING)
    if not parts and sent in (None, "auto"):
        return Detection()
    try:
        vad = (
            msgspec.convert(parts, _ServerVad, strict=False)
            if parts
            else msgspec.json.decode(sent or "", type=_ServerVad)
        )
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ParameterError(
            f"chunking_strategy is neither `auto` nor an object of the type `server_vad`: {error}",
            param=CHUNKING.name,
        ) from error
    return Detection(
        threshold=vad.threshold,
        min_silence_ms=vad.silence_duration_ms,
        padding_ms=vad.prefix_padding_ms,
    )
