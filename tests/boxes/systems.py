"""The systems that tests of the installed service share. For each Debian release, layer over layer:

pristine      Debian alone, from mmdebstrap
installed     and the package, as `apt install` left it
stocked       and the models, and a configuration that names them

Each test module boots a box of its own over one of these, which takes half a second.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from recordings import conversation

from boxes import roots
from boxes.box import Box, sdbox

REPOSITORY = Path(__file__).parent.parent.parent
PACKAGE = REPOSITORY / "dist" / "whisperd.deb"
MODELS = REPOSITORY / ".state" / "models"
RELEASES = ("bookworm", "trixie")
WANTED_MODELS = ("tiny.en", "diarization")
TOOLS = ("mmdebstrap", "unshare", "nsenter", "pgrep", "ip", "curl", "dpkg-deb")


@dataclass(frozen=True)
class Installation:
    """What `apt install` left on a pristine system, what it printed, and what the unit logged meanwhile."""

    layers: tuple[Path, ...]
    output: str
    journal: list[dict[str, Any]]


@pytest.fixture(scope="session")
def package() -> Path:
    """The built package; skips where boxes can't be made."""
    if os.geteuid() != 0:
        pytest.skip("boxes need root")
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"boxes need {', '.join(absent)}")
    if not PACKAGE.exists():
        pytest.skip("dist/whisperd.deb is not built: make deb")
    return PACKAGE


@pytest.fixture(scope="session")
def models() -> Path:
    """A directory with models; skips where they have not been pulled."""
    if absent := [name for name in WANTED_MODELS if not (MODELS / name).is_dir()]:
        pytest.skip(f"models not pulled into .state: {', '.join(absent)}")
    return MODELS


@pytest.fixture(scope="session", params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Debian 12 and Debian 13."""
    return str(request.param)


@pytest.fixture(scope="session")
def installation(release: str, package: Path) -> Iterator[Installation]:
    """The package, installed without a network on a Debian that has nothing else."""
    sdbox("sweep")
    root = roots.pristine(release, package)
    with Box.boot(f"installed-{release}", [root], size="4g", read_only={package: "/whisperd.deb"}) as box:
        output = box.apt("install", "/whisperd.deb")
        journal = box.journal()
        yield Installation((box.power_off(), root), output, journal)


@pytest.fixture(scope="session")
def stocked(installation: Installation, release: str, models: Path) -> Iterator[tuple[Path, ...]]:
    """An installation with models, set to the small ones."""
    with Box.boot(f"stocked-{release}", installation.layers, size="1g", read_only={models: "/models"}) as box:
        box.run("mkdir", "-p", "/var/lib/whisperd/models")
        for name in WANTED_MODELS:
            box.run("cp", "-r", f"/models/{name}", "/var/lib/whisperd/models/")
        box.run("chown", "-R", "whisperd:whisperd", "/var/lib/whisperd")
        box.run("whisperd", "config", "set", "transcribe.model", "tiny.en")
        yield (box.power_off(), *installation.layers)


@pytest.fixture(scope="module")
def box(stocked: tuple[Path, ...], release: str, request: pytest.FixtureRequest) -> Iterator[Box]:
    """A system where the service runs: the boot has started it."""
    name = request.module.__name__.rpartition("_")[2]
    with Box.boot(f"{name}-{release}", stocked, read_only={conversation(): "/conversation.wav"}) as box:
        yield box


@pytest.fixture(scope="module")
def fresh(installation: Installation, release: str) -> Iterator[Box]:
    """A system as the installation leaves it: no model."""
    with Box.boot(f"fresh-{release}", installation.layers) as box:
        yield box
