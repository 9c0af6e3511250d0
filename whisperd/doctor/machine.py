"""What the checks are made on: the configuration, and the machine as far as they ask about it."""

import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from whisperd.config.schema import Config
from whisperd.cuda import bus, child
from whisperd.cuda.answers import Engines
from whisperd.cuda.child import Answer, ChildFailed
from whisperd.cuda.environment import worker_environment
from whisperd.cuda.facts import Facts
from whisperd.cuda.probe import probe
from whisperd.doctor import systemd
from whisperd.doctor.finding import State
from whisperd.doctor.user import User
from whisperd.models.store import Store
from whisperd.plan import CACHE


class Ask(Protocol):
    """Asks the engines in a child; `whisperd.cuda.child.ask`."""

    def __call__(self, question: tuple[str, ...], answer: type[Answer], environ: Mapping[str, str]) -> Answer:
        """Raises ChildFailed."""
        ...


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Answers each question once. `root` is where sysfs, procfs and devices are looked for."""

    config: Config
    """The defaults, where the configuration can't be used."""
    mistakes: str | None = None
    """Why it can't, a line each."""
    environ: Mapping[str, str]
    user: User
    root: Path = Path("/")
    nvml: Any = None
    """Stands in for pynvml."""
    ask: Ask = child.ask
    unit: systemd.Show = systemd.show
    free_bytes: Callable[[Path], int] = _free_bytes

    # ---- what is wanted --------------------------------------------------------------------------

    @cached_property
    def gpu(self) -> Literal["required", "welcome", "unwanted"]:
        """What the configuration says of a GPU."""
        transcribe, diarize = self.config.transcribe.device, self.config.diarize.device
        devices = [transcribe]
        if self.config.diarize.enabled:
            devices.append(transcribe if diarize == "auto" else diarize)
        if any(device.startswith("cuda") for device in devices):
            return "required"
        return "welcome" if "auto" in devices else "unwanted"

    @property
    def gpu_trouble(self) -> State:
        """How bad it is when a GPU can't be used."""
        return "failure" if self.gpu == "required" else "warning"

    @property
    def diarizes_on_gpu(self) -> bool:
        """Whether torch may have to do with a GPU."""
        return self.config.diarize.enabled and self.config.diarize.device != "cpu" and self.gpu != "unwanted"

    # ---- reasons to skip a check -----------------------------------------------------------------

    def no_gpu_wanted(self) -> str | None:
        """Why nothing about GPUs matters."""
        return "the configuration asks for the CPU" if self.gpu == "unwanted" else None

    def no_card(self) -> str | None:
        """Why there is nothing to ask a driver about."""
        if reason := self.no_gpu_wanted():
            return reason
        if not bus.visible(self.root):
            return "this machine has no NVIDIA card"
        if self.cards and not any(card.driver == "nvidia" for card in self.cards):
            return "no card has NVIDIA's driver"
        return None

    def no_configuration(self) -> str | None:
        """Why what depends on the configuration can't be told."""
        return "the configuration can't be used" if self.mistakes else None

    def no_tls(self) -> str | None:
        """Why there is no certificate to look at."""
        if reason := self.no_configuration():
            return reason
        return "server.tls_certificate names none" if self.config.server.tls_certificate == "none" else None

    # ---- what is there ---------------------------------------------------------------------------

    @cached_property
    def cards(self) -> list[bus.Card]:
        """The cards on the bus."""
        return bus.cards(self.root)

    @cached_property
    def worker_environ(self) -> dict[str, str]:
        """The environment of a worker on a GPU."""
        cache = self.config.paths.state / CACHE
        return worker_environment(self.config.cuda, self.environ, "cuda", cache=cache)

    @cached_property
    def engines(self) -> Engines | ChildFailed:
        """What CTranslate2 says, or why it says nothing."""
        try:
            return self.ask(("engines",), Engines, self.worker_environ)
        except ChildFailed as error:
            return error

    @cached_property
    def facts(self) -> Facts:
        """What the daemon would know of the GPUs."""

        def engines(_: Mapping[str, str]) -> Engines:
            if isinstance(self.engines, ChildFailed):
                raise self.engines
            return self.engines

        cache = self.config.paths.state / CACHE
        return probe(
            self.config.cuda, self.environ, cache=cache, root=self.root, library=self.nvml, engines=engines
        )

    @cached_property
    def store(self) -> Store:
        """The models."""
        return Store(self.config.paths.state)

    @cached_property
    def service(self) -> systemd.Properties:
        """The unit's properties, empty where it is not installed."""
        return self.unit(systemd.SERVICE)

    @cached_property
    def running(self) -> bool:
        """Whether the daemon runs already."""
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.config.paths.control_socket))
            except PermissionError:
                return self.service.get("ActiveState") == ["active"]
            except OSError:
                return False
            return True

    @cached_property
    def socket_activated(self) -> bool:
        """Whether systemd holds the sockets that the daemon would listen on."""
        return self.unit(systemd.SOCKET).get("ActiveState") == ["active"]
