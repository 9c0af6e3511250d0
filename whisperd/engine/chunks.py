"""What the model is given at once: speech, without the long silences, in chunks of at most 30 s.

Recordings are read block by block, so that one of hours takes no more memory than one of minutes.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps
from numpy.typing import NDArray

from whisperd.protocol import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]


class Recording(Protocol):
    """Samples of which slices can be had."""

    def __len__(self) -> int: ...

    def __getitem__(self, span: slice, /) -> Audio: ...


WINDOW_S: Final = 30
"""Whisper's window."""
PACKED_S: Final = 30.0
_SHORTEST: Final = SAMPLE_RATE_HZ // 10
"""Nothing is said in less."""
_WINDOW: Final = WINDOW_S * SAMPLE_RATE_HZ
_EARLIEST_CUT: Final = 25 * SAMPLE_RATE_HZ
_INSTANT_S: Final = 0.1
"""Before the end of a passage: it belongs to the piece that ends there, not to the next."""
_BLOCK: Final = 120 * SAMPLE_RATE_HZ
_HOP: Final = SAMPLE_RATE_HZ // 100
_QUIET_HOPS: Final = 20
"""A cut is made in the middle of the quietest 200 ms."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a recording, in samples."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Pieces of a recording, one after the other, to be decoded together. Its own times are in seconds."""

    pieces: tuple[Piece, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return sum(piece.end - piece.start for piece in self.pieces) / SAMPLE_RATE_HZ

    @property
    def start(self) -> float:
        """Where it begins in the recording, in seconds."""
        return self.pieces[0].start / SAMPLE_RATE_HZ

    def audio(self, recording: Recording) -> Audio:
        """Its samples."""
        return np.concatenate([recording[piece.start : piece.end] for piece in self.pieces])

    @property
    def spans(self) -> list[tuple[float, float]]:
        """Where its pieces are, in its own seconds."""
        lengths = [(piece.end - piece.start) / SAMPLE_RATE_HZ for piece in self.pieces]
        ends = list(itertools.accumulate(lengths))
        return list(zip([0.0, *ends], ends, strict=False))

    def part(self, start: float, end: float) -> "Chunk":
        """What of it lies between two of its seconds."""
        first, last = round(start * SAMPLE_RATE_HZ), round(end * SAMPLE_RATE_HZ)
        left = []
        before = 0
        for piece in self.pieces:
            length = piece.end - piece.start
            wanted = Piece(
                piece.start + min(max(first - before, 0), length),
                piece.start + min(max(last - before, 0), length),
            )
            if wanted.start < wanted.end:
                left.append(wanted)
            before += length
        return Chunk(tuple(left))

    def span(self, start: float, end: float) -> tuple[float, float]:
        """A word of it in the recording: all in the piece that has the word's middle."""
        piece, offset = self._piece((start + end) / 2)
        first, last = piece.start / SAMPLE_RATE_HZ, piece.end / SAMPLE_RATE_HZ
        return min(max(start + offset, first), last), min(max(end + offset, first), last)

    def stretch(self, start: float, end: float) -> tuple[float, float]:
        """A passage of it in the recording: from piece to piece, if need be."""
        return self.span(start, start)[0], self.span(max(start, end - _INSTANT_S), end)[1]

    def _piece(self, time: float) -> tuple[Piece, float]:
        """The piece with that moment, and the seconds by which it is later in the recording."""
        sample = time * SAMPLE_RATE_HZ
        before = 0
        for piece in self.pieces[:-1]:
            if sample < before + piece.end - piece.start:
                break
            before += piece.end - piece.start
        else:
            piece = self.pieces[-1]
        return piece, (piece.start - before) / SAMPLE_RATE_HZ


def chunks(
    recording: Recording, detection: VadOptions | None, *, packed_s: float = PACKED_S
) -> Iterator[Chunk]:
    """The speech that `detection` finds, or everything where it is None; found as it is asked for.

    Short stretches are packed until they are `packed_s` long.
    """
    packed: list[Piece] = []
    length = 0
    for piece in _short(recording, _speech(recording, detection)):
        if piece.end - piece.start < _SHORTEST:
            continue
        if packed and length + piece.end - piece.start > packed_s * SAMPLE_RATE_HZ:
            yield Chunk(tuple(packed))
            packed, length = [], 0
        packed.append(piece)
        length += piece.end - piece.start
    if packed:
        yield Chunk(tuple(packed))


def _speech(recording: Recording, detection: VadOptions | None) -> Iterator[tuple[Piece, int]]:
    """Stretches of speech, each with the silence (samples) that parts it from the next, at the least."""
    for start in range(0, len(recording), _BLOCK):
        if detection is None:
            yield Piece(start, min(start + _BLOCK, len(recording))), 1
            continue
        block = recording[start : start + _BLOCK]
        silence = detection.min_silence_duration_ms * SAMPLE_RATE_HZ // 1000
        for found in get_speech_timestamps(block, detection):
            yield Piece(start + found["start"], start + found["end"]), silence


def _short(recording: Recording, speech: Iterable[tuple[Piece, int]]) -> Iterator[Piece]:
    """The same speech in pieces that fit into the window: joined over blocks' ends, cut where it is quiet."""
    held: Piece | None = None
    for piece, silence in speech:
        if held and piece.start % _BLOCK == 0 and piece.start - held.end < silence:
            held = Piece(held.start, piece.end)
        else:
            if held:
                yield held
            held = piece
        while held.end - held.start > _WINDOW:
            cut = _quietest(recording, held.start + _EARLIEST_CUT, held.start + _WINDOW)
            yield Piece(held.start, cut)
            held = Piece(cut, held.end)
    if held:
        yield held


def _quietest(recording: Recording, start: int, end: int) -> int:
    """The sample between two at which a cut hurts least."""
    hops = (end - start) // _HOP
    sound = recording[start : start + hops * _HOP].reshape(hops, _HOP)
    energy: NDArray[Any] = np.einsum("ij,ij->i", sound, sound)
    around = np.convolve(energy, np.ones(_QUIET_HOPS), mode="valid")
    return start + (int(around.argmin()) + _QUIET_HOPS // 2) * _HOP
