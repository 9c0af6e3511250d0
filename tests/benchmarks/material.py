"""Recordings of the lengths that are measured, made from those at hand."""

import wave
from pathlib import Path

from recordings import CORPUS, conversation


def speech_of_11_s(directory: Path) -> Path:
    """A speech of 11 s where the corpus is at hand, else as much of the conversation."""
    speech = CORPUS / "speech" / "jfk.flac"
    return speech if speech.exists() else cut(directory / "11s.wav", seconds=11)


def cut(target: Path, *, seconds: float, start: float = 0) -> Path:
    """A piece of the conversation, over and over where it is too short."""
    with wave.open(str(conversation()), "rb") as source, wave.open(str(target), "wb") as piece:
        piece.setparams(source.getparams())
        wanted = round(seconds * source.getframerate())
        source.setpos(round(start * source.getframerate()))
        while wanted:
            frames = source.readframes(wanted)
            piece.writeframes(frames)
            wanted -= len(frames) // source.getsampwidth() // source.getnchannels()
            source.setpos(0)
    return target
