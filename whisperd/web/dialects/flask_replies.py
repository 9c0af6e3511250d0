"""What the Flask transcriber answers to a recording. Every key is always there, but for warnings."""

from collections.abc import Mapping
from typing import Final, Literal

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from whisperd.transcript import formats
from whisperd.transcript.model import Notice, Transcript
from whisperd.web.keys import ORIGIN


class MetadataJson(Struct, frozen=True, kw_only=True):
    """How the text was made."""

    model: str
    device: str
    """`cpu` or `cuda`."""
    compute_type: str
    gpu_requested: bool
    gpu_used: bool
    detected_language: str
    """A code; `unknown` when no speech was found to tell it by."""
    language_probability: float
    duration: float
    """Seconds."""
    temperature: float
    beam_size: int
    task: str
    user: Literal["shared"] = "shared"
    """Callers are told apart by their keys or addresses, not by names."""
    backend: Literal["local"] = "local"
    diarization: Literal["local", "off"]
    """`off` also where it failed, of which a warning tells."""


class DownloadsJson(Struct, frozen=True):
    """Links that work for a while, and for this caller alone."""

    text: str
    srt: str
    markdown: str


class TranscriptJson(Struct, frozen=True, kw_only=True):
    """The reply."""

    transcript: str
    markdown: str
    metadata: MetadataJson
    downloads: DownloadsJson
    warnings: list[Notice] | UnsetType = UNSET


EXAMPLE: Final = {
    "transcript": "Hello there.",
    "markdown": "# Transcript\n\nHello there.\n",
    "metadata": {
        "model": "small",
        "device": "cuda",
        "compute_type": "float16",
        "gpu_requested": True,
        "gpu_used": True,
        "detected_language": "en",
        "language_probability": 0.97,
        "duration": 6.0,
        "temperature": 0.0,
        "beam_size": 5,
        "task": "transcribe",
        "user": "shared",
        "backend": "local",
        "diarization": "off",
    },
    "downloads": {
        "text": "http://host:5000/download/20261121-014009_talk_0123456789abcdef.txt",
        "srt": "http://host:5000/download/20261121-014009_talk_0123456789abcdef.srt",
        "markdown": "http://host:5000/download/20261121-014009_talk_0123456789abcdef.md",
    },
}


def rendered(transcript: Transcript) -> dict[str, str]:
    """The texts to download, by their suffixes."""
    return {
        ".txt": formats.plain(transcript.segments) + "\n",
        ".srt": formats.srt(transcript.segments),
        ".md": formats.markdown(transcript.segments),
    }


def links(request: web.Request, names: Mapping[str, str]) -> DownloadsJson:
    """Links to files by their suffixes, at the address that the caller itself used."""
    origin = request[ORIGIN]
    base = f"{origin.scheme}://{origin.host}/download"
    text, srt, markdown = (f"{base}/{names[suffix]}" for suffix in (".txt", ".srt", ".md"))
    return DownloadsJson(text, srt, markdown)


def transcript_json(
    transcript: Transcript,
    *,
    markdown: str,
    downloads: DownloadsJson,
    gpu_requested: bool,
    temperature: float,
    beam_size: int,
    warnings: list[Notice],
) -> TranscriptJson:
    """The reply; the last four before the warnings are as they were asked for."""
    device = (transcript.device or "cpu").partition(":")[0]
    return TranscriptJson(
        transcript=transcript.text,
        markdown=markdown,
        metadata=MetadataJson(
            model=transcript.model or "",
            device=device,
            compute_type=transcript.compute_type or "",
            gpu_requested=gpu_requested,
            gpu_used=device == "cuda",
            detected_language=transcript.language or "unknown",
            language_probability=transcript.language_probability or 0.0,
            duration=transcript.duration,
            temperature=temperature,
            beam_size=beam_size,
            task=transcript.task,
            diarization="local" if transcript.turns else "off",
        ),
        downloads=downloads,
        warnings=warnings or UNSET,
    )
