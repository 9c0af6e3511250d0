"""What one version of OpenAI's own library makes of a server: `openai_sdk.py URL RECORDING VOICE`.

Run by any interpreter that has the library. Prints one JSON object: for each request, what came back.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import openai


def data_url(path: Path) -> str:
    """The recording as it travels in a field."""
    return "data:audio/wav;base64," + base64.b64encode(path.read_bytes()).decode()


def refused(error: openai.APIStatusError) -> dict[str, Any]:
    """What a program can read of an error."""
    return {"status": error.status_code, "body": error.body, "class": type(error).__name__}


def main(url: str, recording: Path, voice: Path) -> dict[str, Any]:
    """Every request and its answer."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    def ask(**fields: Any) -> Any:
        reply = client.audio.transcriptions.create(**{"file": recording, "model": "whisper-1", **fields})
        return reply if isinstance(reply, str) else reply.to_dict()

    def stream(**fields: Any) -> list[Any]:
        return [
            event.to_dict()
            for event in client.audio.transcriptions.create(
                file=recording, model="gpt-4o-transcribe", stream=True, **fields
            )
        ]

    def fails(**fields: Any) -> Any:
        try:
            return ask(**fields)
        except openai.APIStatusError as error:
            return refused(error)

    # As extras, because older versions have no names for them.
    known = {"known_speaker_names": ["agent"], "known_speaker_references": [data_url(voice)]}
    vad = {"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 200}
    told = {
        "version": openai.__version__,
        "plain": ask(),
        "json": ask(response_format="json"),
        "text": ask(response_format="text"),
        "srt": ask(response_format="srt"),
        "vtt": ask(response_format="vtt"),
        "verbose": ask(
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
            language="en",
            prompt="A telephone call.",
            temperature=0,
        ),
        "diarized": ask(
            model="gpt-4o-transcribe-diarize",
            response_format="diarized_json",
            chunking_strategy="auto",
            extra_body=known,
        ),
        "logprobs": ask(response_format="json", include=["logprobs"], chunking_strategy=vad),
        "candidates": ask(
            model="base", extra_body={"languages": ["en", "de"], "keywords": ["Diane", "Sheila"]}
        ),
        "stream": stream(response_format="json"),
        "stream_logprobs": stream(response_format="json", include=["logprobs"]),
        "stream_diarized": stream(response_format="diarized_json", extra_body=known),
        "models": client.models.list().to_dict(),
        "model": client.models.retrieve("whisper-1").to_dict(),
        "translated": client.audio.translations.create(file=recording, model="base").to_dict(),
        "unknown_model": fails(model="large-v9"),
        "wrong_format": fails(response_format="xml"),
        "wrong_vad": fails(chunking_strategy={"type": "semantic_vad"}),
        "no_recording": fails(file=("talk.wav", b"this is no recording")),
        "empty": fails(file=("talk.wav", b"")),
    }
    try:
        told["untranslated"] = client.audio.translations.create(file=recording, model="tiny.en").to_dict()
    except openai.APIStatusError as error:
        told["untranslated"] = refused(error)
    return told


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
