"""The configured models: installed, whole, readable, and, where there is a gate, whether it opens."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from whisperd.cuda.choice import default_model
from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine
from whisperd.doctor.user import READ
from whisperd.errors import ModelFilesError, StartError
from whisperd.models import catalogue, hub
from whisperd.models.progress import Moved
from whisperd.models.sources import HubSource, Model, SourceUnavailable
from whisperd.plan import choose_model


def check_models(machine: Machine) -> Iterator[Finding]:
    """Each model that the daemon would load, at its start or at a request."""
    wanted = machine.config.transcribe
    names = [_transcription(machine)]
    if machine.config.diarize.enabled:
        names.append(machine.config.diarize.model)
    if wanted.models != "installed":
        names += wanted.models
    if wanted.translate_model != "none":
        names.append(wanted.translate_model)
    for name in dict.fromkeys(names):
        try:
            yield _check(machine, name)
        except ModelFilesError as error:
            yield Finding(f"model {name}", "failure", error.message, "Run this as root or as its owner")


def _transcription(machine: Machine) -> str:
    """What "auto" means here, or would on a card that can't be had."""
    try:
        return choose_model(machine.config, machine.store, machine.facts, reserved_bytes=0)[0]
    except StartError:
        wanted = machine.config.transcribe.model
        return default_model("cuda") if wanted == "auto" else wanted


def _check(machine: Machine, model: str) -> Finding:
    name = f"model {model}"
    command = machine.store.pull_command(model)
    path = machine.store.path(model)
    if path is None:
        known = catalogue.find(model)
        if known is None:
            return Finding(
                name, "failure", "no such model", "Choose one that whisperd models list shows, or a directory"
            )
        return Finding(name, "failure", *_absent(known, command))
    if problems := machine.store.verify(model):
        return Finding(name, "failure", f"damaged: {'; '.join(problems)}", f"Run {command}")
    if unreadable := _unreadable(machine, path):
        return Finding(
            name,
            "failure",
            f"{machine.user.name} may not read {unreadable}",
            f"Run chown -R {machine.user.name}: {path}",
        )
    return Finding(name, "ok", f"installed in {path}")


def _unreadable(machine: Machine, path: Path) -> Path | None:
    files = (file for file in path.rglob("*") if file.is_file())
    return next((file for file in files if not machine.user.may(file.stat(), READ)), None)


def _absent(model: Model, command: str) -> tuple[str, str]:
    """What is wrong, and the remedy. Whether a gate opens to this account is found out by trying."""
    if not model.gated:
        return "not installed", f"Run {command}"
    source = model.sources[0]
    if isinstance(source, HubSource) and (refusal := _refusal(source)):
        return f"not installed, and the hub does not give it: {refusal}", f"Then run {command}"
    return "not installed", f"Run {command}"


def _refusal(source: HubSource) -> str | None:
    """Why the hub would not give the model: its smallest file is fetched and thrown away."""
    smallest = min(source.files, key=lambda file: file.size)
    with tempfile.TemporaryDirectory() as directory:
        try:
            hub.fetch(source, [smallest], Path(directory), Path(directory), _Silent())
        except SourceUnavailable as error:
            return str(error)
    return None


class _Silent:
    """Shows no progress."""

    def say(self, line: str) -> None:
        """Nothing."""

    def transfer(self, label: str, total: int) -> AbstractContextManager[Moved]:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return nullcontext(lambda _: None)
