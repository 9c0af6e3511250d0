"""What a check says."""

from typing import Literal

from msgspec import Struct

State = Literal["ok", "warning", "failure", "skipped"]
"""A warning leaves a job running, though not as it could; with a failure none would."""


class Finding(Struct, frozen=True):
    """One thing that was looked at, and what a person can do about it."""

    name: str
    state: State
    detail: str
    remedy: str | None = None
