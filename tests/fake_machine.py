"""A machine for the doctor: everything that it would ask is made up."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fake_nvidia import ENGINES, FakeNvml, FakeRoot

from whisperd.config.schema import Config
from whisperd.cuda.answers import Engines, Loaded, Torch
from whisperd.cuda.child import Answer, ChildFailed
from whisperd.doctor.finding import Finding, State
from whisperd.doctor.machine import Machine
from whisperd.doctor.systemd import Properties
from whisperd.doctor.user import User
from whisperd.protocol import MappedLibrary

NOBODY = User("whisperd", 64_999, frozenset({64_999}))
"""A user who owns nothing here."""


@dataclass
class FakeEngines:
    """Answers for the child. Every library loads but those that `libraries` tells of."""

    engines: Engines | ChildFailed = ENGINES
    torch: Torch | ChildFailed = Torch(version="2.10.0", cuda="12.8")  # noqa: RUF009 - frozen
    libraries: Mapping[str, Loaded | ChildFailed] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)

    def __call__(
        self,
        question: tuple[str, ...],
        answer: type[Answer],
        environ: Mapping[str, str],  # noqa: ARG002 - of the protocol
    ) -> Answer:
        given: Any
        match question:
            case ("engines",):
                given = self.engines
            case ("torch",):
                given = self.torch
            case ("load", name):
                self.loaded.append(name)
                given = self.libraries.get(name) or loads(name)
            case _:
                raise AssertionError(question)
        if isinstance(given, ChildFailed):
            raise given
        assert isinstance(given, answer)
        return given


def loads(name: str, *, directory: str = "/wheels", chosen: bool = True) -> Loaded:
    """A library that loads."""
    path = f"{directory}/{name}"
    return Loaded(path=path, soname=name, libraries=[MappedLibrary(path, chosen)])


class FakeUnits:
    """systemd's answers, by unit."""

    def __init__(self, **units: Properties) -> None:
        self._units = units

    def __call__(self, unit: str) -> Properties:
        return self._units.get(unit.replace(".", "_"), {})


def machine(config: Config, root: FakeRoot | None = None, **changes: Any) -> Machine:
    """A machine without a card, unless `root` has one; whoever runs the tests runs the daemon."""
    made = Machine(
        config=config,
        environ={},
        user=User("tester", os.geteuid(), frozenset(os.getgroups())),
        root=root.path if root else Path("/nonexistent"),
        nvml=FakeNvml(),
        ask=FakeEngines(),
        unit=FakeUnits(),
        free_bytes=lambda _: 10**12,
    )
    return replace(made, **changes)


def states(findings: Sequence[Finding]) -> list[State]:
    """How each of them came out."""
    return [finding.state for finding in findings]
