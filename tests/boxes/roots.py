"""Pristine Debian systems to boot, made by mmdebstrap and kept outside the repository.

A root is Debian's smallest set of packages with systemd, and nothing that the package under test depends on:
that lies in apt's cache, downloaded but not installed, so that `apt install` resolves it without a network.
"""

import hashlib
import re
import shutil
import subprocess
import time
from pathlib import Path

CACHE = Path("/var/cache/whisperd-roots")
_ADDRESS = re.compile(r"^(?:URIs:|deb(?:\s+\[.*?\])?)\s+(\S+)", re.MULTILINE)


def pristine(release: str, package: Path) -> Path:
    """The root of a Debian release for a package, made when it is absent or of an earlier week."""
    depends = _first_choices(_field(package, "Depends"))
    key = hashlib.sha256(" ".join([*depends, time.strftime("%G-%V")]).encode()).hexdigest()[:12]
    root = CACHE / f"{release}-{key}"
    if not root.exists():
        for stale in CACHE.glob(f"{release}-*"):
            shutil.rmtree(stale)
        _make(release, root, depends)
    return root


def _make(release: str, root: Path, depends: list[str]) -> None:
    unfinished = root.with_name(f"{root.name}.unfinished")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            "--include=systemd,systemd-sysv,dbus",
            f'--customize-hook=chroot "$1" apt-get --quiet --yes --download-only install {" ".join(depends)}',
            "--skip=cleanup/apt",
            release,
            unfinished,
            _mirror(),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    unfinished.rename(root)


def _field(package: Path, name: str) -> str:
    return subprocess.run(
        ["dpkg-deb", "--field", package, name], check=True, capture_output=True, text=True
    ).stdout.strip()


def _first_choices(depends: str) -> list[str]:
    """The names in a Depends field, without versions; of alternatives, the first."""
    return sorted({re.split(r"[\s|(]", clause.strip(), maxsplit=1)[0] for clause in depends.split(",")})


def _mirror() -> str:
    """The archive that this machine's own apt uses, or "", which leaves the choice to mmdebstrap."""
    sources = [*Path("/etc/apt/sources.list.d").glob("*.sources"), Path("/etc/apt/sources.list")]
    for path in sources:
        if path.exists() and (found := _ADDRESS.search(path.read_text())):
            return found[1]
    return ""
