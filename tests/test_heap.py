"""What is free in the heap goes back to the system, wherever it lies."""

import subprocess
import sys

_FULL_OF_HOLES = """
import ctypes, re
from pathlib import Path
from whisperd.engine.heap import give_back

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e3

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
large, kept = [], []
for _ in range(200):
    large.append(library.malloc(10**6))
    ctypes.memset(large[-1], 1, 10**6)
    kept.append(library.malloc(10_000))
for block in large:
    library.free(block)
before = resident_mb()
give_back()
print(before - resident_mb())
"""


def test_blocks_between_others_that_are_in_use_are_given_back() -> None:
    environment = {"GLIBC_TUNABLES": f"glibc.malloc.mmap_threshold={2**30}"}
    command = [sys.executable, "-c", _FULL_OF_HOLES]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert float(printed) > 150
