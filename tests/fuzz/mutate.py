"""Bytes changed at random: in the ways that readers of binary formats trip over."""

import random
from collections.abc import Callable, Sequence

_NUMBERS = (0, 1, 2**7 - 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_HEAD_BYTES = 512
_MOST_BYTES = 2**21
_REPAIRED = 0.8
_OGG_HEAD_BYTES = 27


def mutated(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """One more mutant; mostly few changes, mostly near the beginning, where headers are."""
    mutant = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8, 20))):
        rng.choice(_CHANGES)(mutant, others, rng)
        if not mutant:
            mutant += data[:1] or b"\0"
    del mutant[_MOST_BYTES:]
    if rng.random() < _REPAIRED:
        _repair(mutant)
    return bytes(mutant)


def _repair(mutant: bytearray) -> None:
    """Give the pages of an OGG file checksums that are right, or none of them would be read."""
    start = mutant.find(b"OggS")
    while 0 <= start <= len(mutant) - _OGG_HEAD_BYTES:
        segments = mutant[start + _OGG_HEAD_BYTES - 1]
        table = mutant[start + _OGG_HEAD_BYTES : start + _OGG_HEAD_BYTES + segments]
        end = start + _OGG_HEAD_BYTES + segments + sum(table)
        mutant[start + 22 : start + 26] = bytes(4)
        mutant[start + 22 : start + 26] = _ogg_checksum(bytes(mutant[start:end])).to_bytes(4, "little")
        start = mutant.find(b"OggS", start + 4)


def _ogg_checksum(page: bytes) -> int:
    register = 0
    for byte in page:
        register = (register << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[register >> 24 ^ byte]
    return register


def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        register = byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(register)
    return table


def _place(mutant: bytearray, rng: random.Random) -> int:
    near = min(len(mutant), _HEAD_BYTES) if rng.random() < 0.6 else len(mutant)
    return rng.randrange(near)


def _flip(mutant: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    mutant[_place(mutant, rng)] ^= 1 << rng.randrange(8)


def _byte(mutant: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    mutant[_place(mutant, rng)] = rng.randrange(256)


def _number(mutant: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    size = rng.choice((1, 2, 4, 8))
    number = (rng.choice(_NUMBERS) + rng.choice((-1, 0, 0, 1))) % 2 ** (8 * size)
    start = _place(mutant, rng)
    mutant[start : start + size] = number.to_bytes(size, rng.choice(("little", "big")))


def _cut(mutant: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    del mutant[rng.randrange(len(mutant)) :]


def _remove(mutant: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    start = _place(mutant, rng)
    del mutant[start : start + rng.choice((1, 2, 4, 16, 500))]


def _repeat(mutant: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    start = _place(mutant, rng)
    piece = mutant[start : start + rng.choice((1, 4, 16, 200, 4000))]
    mutant[start:start] = piece * rng.choice((1, 1, 2, 10, 100))


def _noise(mutant: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    start = _place(mutant, rng)
    size = rng.choice((4, 16, 64, 1000))
    mutant[start : start + size] = rng.randbytes(size)


def _splice(mutant: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """Go on as another recording does."""
    other = rng.choice(others)
    mutant[rng.randrange(len(mutant)) :] = other[rng.randrange(len(other)) :]


def _insert(mutant: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """A part of another recording, in the middle of this one."""
    other = rng.choice(others)
    start = rng.randrange(len(other))
    place = _place(mutant, rng)
    mutant[place:place] = other[start : start + rng.choice((16, 64, 1000))]


_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _flip,
    _flip,
    _byte,
    _byte,
    _number,
    _number,
    _number,
    _cut,
    _remove,
    _repeat,
    _noise,
    _splice,
    _insert,
)

_OGG_TABLE = _ogg_table()
