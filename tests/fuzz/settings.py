"""Mutated configuration files, given to `whisperd check-config`: right, or wrong with a message."""

import contextlib
import io
import random
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from recordings import REPOSITORY

from fuzz.mutate import mutated
from whisperd.__main__ import main
from whisperd.config.schema import OPTIONS
from whisperd.errors import ConfigError

_VALUES = (
    *(
        "0",
        "-1",
        "1",
        "1e400",
        "nan",
        "-inf",
        "9" * 400,
        "true",
        "[]",
        "{}",
        "[[]]",
        "[1]",
        '[""]',
        "{a = 1}",
    ),
    *('""', '" "', '"\\u0000"', '"\\n"', '"none"', '"auto"', '"installed"', "1979-05-27", "07:32:00"),
    *('"1s"', '"-1s"', '"1e9999s"', '"99999999999999999999d"', '"1h 1h"', '"\u0661s"', '"1 s s"'),
    *('"1GiB"', '"-1B"', '"999999999999999999999TiB"', '"1.5.5MB"', '"0"'),
    *('"/"', '"/proc/self/mem"', '"relative"', '"/\\u0000"', '"/..//"', f'"/{"x" * 5000}"', '"/etc/shadow"'),
    *(
        '"[::1]:80"',
        '"[::g]:80"',
        '":80"',
        '"x:99999"',
        '"x:\u0661"',
        '"unix:"',
        '"unix:/\\u0000"',
        '"1.2.3:1"',
    ),
    *('["0.0.0.0:1", "[::]:1"]', '["10.0.0.0/99"]', '["10.0.0.1/8"]', '["fe80::%1/64"]', '["*."]', '["*"]'),
    *('"http://[x"', '"http://x:y"', '"http://user:secret@x"', '"cuda:99999999999999999999"', '"cuda:-1"'),
    *('"\\ud800"', '"\\U00110000"', "'''", '"\U0001f3a4"'),
)
"""Values as TOML writes them, of which some are no TOML at all."""


def files(seed: int) -> Iterator[bytes]:
    """Configuration files without end."""
    example = (REPOSITORY / "etc" / "whisperd.toml").read_bytes()
    number = 0
    while True:
        rng = random.Random(f"{seed} settings {number}")
        number += 1
        lines = [
            f"{path} = {rng.choice(_VALUES)}"
            for path in rng.sample(list(OPTIONS), rng.choice((1, 1, 2, 3, 10)))
        ]
        written = "\n".join(lines).encode(errors="replace")
        uncommented = example.replace(b"\n#", b"\n")
        match rng.randrange(4):
            case 0:
                yield mutated(uncommented, [written], rng)
            case 1:
                yield mutated(written, [uncommented], rng)
            case _:
                yield written


def run(seconds: float, seed: int, directory: Path) -> tuple[int, list[str]]:
    """Check files for so long; returns how many, and what went wrong."""
    path = directory / "whisperd.toml"
    until = time.monotonic() + seconds
    faults: list[str] = []
    checked = 0
    for content in files(seed):
        if time.monotonic() > until:
            break
        path.write_bytes(content)
        checked += 1
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                status = main(["--config", str(path), "check-config"])
        except Exception:
            faults.append(f"{content[:2000]!r}\n{traceback.format_exc()}")
            continue
        if status not in (0, ConfigError.exit_code) or (status and not said.getvalue().strip()):
            faults.append(f"{content[:2000]!r}: status {status}, {said.getvalue()[:500]!r}")
    return checked, faults
