"""Asking the engines, in a child: the daemon imports none of them, and a broken library ends its process."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

Answer = TypeVar("Answer", bound=msgspec.Struct)

_COMMAND: Final = (sys.executable, *(["-I"] if sys.flags.isolated else []), "-m", "whisperd.engine.probe")


class ChildFailed(Exception):
    """The child gave no answer; the message says what became of it."""


def ask(
    question: tuple[str, ...],
    answer: type[Answer],
    environ: Mapping[str, str],
    *,
    timeout_s: float = 60.0,
) -> Answer:
    """Run `python -m whisperd.engine.probe QUESTION…` and read its answer. Raises ChildFailed."""
    try:
        child = subprocess.run(
            [*_COMMAND, *question],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise ChildFailed(f"no answer within {timeout_s:g} seconds") from error
    except OSError as error:
        raise ChildFailed(f"could not be started: {error}") from error
    if child.returncode < 0:
        raise ChildFailed(f"was killed by {signal.Signals(-child.returncode).name}")
    if child.returncode:
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        raise ChildFailed(lines[-1] if lines else f"ended with status {child.returncode}")
    # A library may write to standard output as it loads; the answer is the last line.
    lines_out = child.stdout.strip().splitlines()
    try:
        return msgspec.json.decode(lines_out[-1] if lines_out else b"", type=answer)
    except msgspec.DecodeError as error:
        raise ChildFailed(f"answered nonsense: {error}") from error
