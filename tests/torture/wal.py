"""What a crash may leave at the end of SQLite's write-ahead log: bytes of a transaction that never was.

A transaction that was acknowledged had been synced; no crash takes its frames away. So only what lies behind
the last frame that commits is ever touched here.
"""

import random
import struct
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct(">8I")
"""Magic number, version, page size, checkpoint, two salts, two sums."""
_FRAME: Final = struct.Struct(">6I")
"""Page, pages of the database if it commits (else 0), two salts, two sums."""
_MAGIC: Final = 0x377F0682
"""The lowest bit says that sums are of big-endian words."""

_Sums = tuple[int, int]


def committed_bytes(log: bytes) -> int:
    """How far the log's frames are whole and their transaction committed; 0 without a valid header."""
    if len(log) < _HEADER.size:
        return 0
    magic, _, page_bytes, _, *salts_and_sums = _HEADER.unpack_from(log)
    salts, told = tuple(salts_and_sums[:2]), tuple(salts_and_sums[2:])
    order = ">" if magic & 1 else "<"
    sums = _summed((0, 0), log[: _HEADER.size - 8], order)
    if magic & ~1 != _MAGIC or sums != told:
        return 0
    end = position = _HEADER.size
    while position + _FRAME.size + page_bytes <= len(log):
        frame = _FRAME.unpack_from(log, position)
        page = position + _FRAME.size
        sums = _summed(sums, log[position : position + 8] + log[page : page + page_bytes], order)
        if frame[2:4] != salts or frame[4:] != sums:
            break
        position = page + page_bytes
        if frame[1]:
            end = position
    return end


def _summed(sums: _Sums, data: bytes, order: str) -> _Sums:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & 0xFFFFFFFF
        second = (second + words[index + 1] + first) & 0xFFFFFFFF
    return first, second


def tear(path: Path, chance: random.Random) -> str:
    """Leave a torn write behind the last commit of a log that nobody has open; returns what it is."""
    log = path.read_bytes() if path.exists() else b""
    end = committed_bytes(log)
    if not end:
        return "no log to tear"
    page_bytes = _HEADER.unpack_from(log)[2]
    salts = _HEADER.unpack_from(log)[4:6]
    page = chance.randbytes(page_bytes)
    commit = _FRAME.pack(1, 1 + chance.randrange(1000), *salts, 0, 0) + page
    what, tail = chance.choice(
        [
            ("a commit that doesn't add up", commit),
            ("half a commit", commit[: chance.randrange(1, len(commit))]),
            ("noise", chance.randbytes(chance.randrange(1, 3 * page_bytes))),
            ("zeros", bytes(chance.randrange(1, 3 * page_bytes))),
            ("nothing, where there were whole frames of an open transaction or of an earlier log", b""),
        ]
    )
    with path.open("r+b") as file:
        file.seek(end)
        file.write(tail)
        if not tail or chance.random() < 0.5:
            file.truncate()
    return what
