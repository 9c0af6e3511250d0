"""What the replies of OpenAI's audio endpoints look like, for the API's description."""

from typing import Any, Final

_USAGE: Final = {"seconds": 2.5, "type": "duration"}

JSON: Final[dict[str, Any]] = {"text": "Hello world.", "usage": _USAGE}

PLAIN: Final[dict[str, Any]] = {
    "text": "Hello world.",
    "usage": _USAGE,
    "words": [
        {"word": " Hello", "start": 0.0, "end": 0.4},
        {"word": " world.", "start": 0.4, "end": 1.0},
    ],
    "filename": "talk.wav",
}

SEVERAL: Final[dict[str, Any]] = {"results": [PLAIN, PLAIN | {"filename": "more.mp3"}]}

_SEGMENT: Final = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 1.0,
    "text": " Hello world.",
    "tokens": [50364, 2425, 1002, 13, 50414],
    "temperature": 0.0,
    "avg_logprob": -0.25,
    "compression_ratio": 0.9,
    "no_speech_prob": 0.01,
}

_DOUBTED: Final = _SEGMENT | {
    "id": 1,
    "start": 1.5,
    "end": 2.5,
    "text": " Vielen Dank.",
    "tokens": [50439, 8321, 34782, 13, 50489],
    "no_speech_prob": 0.75,
    "language": "german",
    "doubts": ["no_speech"],
}
_WARNED: Final = {
    "code": "text_doubted",
    "message": "segments that may not be what was said: 1 of 2 (no_speech)",
}

VERBOSE: Final[dict[str, Any]] = {
    "task": "transcribe",
    "language": "english",
    "duration": 2.5,
    "text": "Hello world. Vielen Dank.",
    "words": [
        {"word": "Hello", "start": 0.0, "end": 0.4},
        {"word": "world.", "start": 0.4, "end": 1.0},
        {"word": "Vielen", "start": 1.5, "end": 2.0},
        {"word": "Dank.", "start": 2.0, "end": 2.5},
    ],
    "segments": [_SEGMENT, _DOUBTED],
    "usage": _USAGE,
    "warnings": [_WARNED],
}

DIARIZED: Final[dict[str, Any]] = {
    "task": "transcribe",
    "duration": 2.5,
    "text": "agent: Hello world.\nA: Hello.",
    "segments": [
        {
            "type": "transcript.text.segment",
            "id": "seg_001",
            "start": 0.0,
            "end": 1.0,
            "text": "Hello world.",
            "speaker": "agent",
        },
        {
            "type": "transcript.text.segment",
            "id": "seg_002",
            "start": 1.5,
            "end": 2.5,
            "text": "Hello.",
            "speaker": "A",
        },
    ],
    "usage": _USAGE,
}

EVENTS: Final = (
    'data: {"type":"transcript.text.delta","delta":"Hello world."}\n\n'
    'data: {"type":"transcript.text.done","text":"Hello world.",'
    '"usage":{"seconds":2.5,"type":"duration"}}\n\n'
)

TRANSLATION: Final[dict[str, Any]] = {"text": "Hello world."}

VERBOSE_TRANSLATION: Final[dict[str, Any]] = {
    "task": "translate",
    "language": "english",
    "duration": 2.5,
    "text": "Hello world.",
    "segments": [_SEGMENT],
}

MODEL: Final[dict[str, Any]] = {
    "id": "large-v3-turbo",
    "object": "model",
    "created": 1_760_000_000,
    "owned_by": "whisperd",
}

MODELS: Final[dict[str, Any]] = {"object": "list", "data": [MODEL]}
