"""The package under test with another version, for upgrades."""

import subprocess
from pathlib import Path


def with_version(package: Path, version: str, target: Path) -> Path:
    """Copy `package` to `target` with another version; its files stay the same, so this takes a second."""
    script = """
        set -eu
        control=$(ar t "$1" | grep '^control.tar')
        cp "$1" "$2"
        cd "$(mktemp -d)"
        mkdir tree
        dpkg-deb --control "$1" tree
        sed -i "s/^Version: .*/Version: $3/" tree/control
        tar --create --owner=0 --group=0 --auto-compress --file "$control" --directory tree .
        ar r "$2" "$control"
        rm -r "$PWD"
    """
    subprocess.run(
        ["bash", "-c", script, "repack", package.resolve(), target.resolve(), version],
        check=True,
        capture_output=True,
    )
    return target
