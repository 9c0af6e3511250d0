"""The package: what is written about it, and what is in the one that was built."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from whisperd import __version__

REPOSITORY = Path(__file__).parent.parent
DEBIAN = REPOSITORY / "packaging" / "debian"
PACKAGE = REPOSITORY / "dist" / "whisperd.deb"
SITE = "usr/lib/whisperd/venv/lib/python3.11/site-packages"

FROM_THE_SYSTEM = {
    # libc6
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libmvec.so.1",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
    # libgcc-s1, libstdc++6
    "libgcc_s.so.1",
    "libstdc++.so.6",
    # zlib1g, on which the interpreter depends
    "libz.so.1",
    # NVIDIA's driver
    "libcuda.so.1",
    "libnvidia-ml.so.1",
}
"""Libraries that wheels may expect of the machine: the package depends on those that hold them."""


def command(*words: str | Path) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def package() -> Path:
    if not PACKAGE.exists():
        pytest.skip("dist/whisperd.deb is not built: make deb")
    return PACKAGE


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files."""
    tree = tmp_path_factory.mktemp("package")
    command("dpkg-deb", "--extract", package, tree)
    return tree


def test_the_changelog_begins_with_the_version_of_the_program() -> None:
    assert (DEBIAN / "changelog").read_text().startswith(f"whisperd ({__version__}) ")


@pytest.mark.box
def test_the_package_brings_its_interpreter_and_asks_for_none(package: Path) -> None:
    depends = command("dpkg-deb", "--field", package, "Depends")
    names = {re.split(r"[ (|]", clause.strip())[0] for clause in depends.split(",")}
    assert not [name for name in names if name.startswith("python")]
    assert {"ca-certificates", "libgcc-s1", "libssl3", "libstdc++6", "tzdata", "zlib1g"} <= names
    libc = re.search(r"libc6 \(>= ([\d.]+)\)", depends)
    assert libc
    assert tuple(map(int, libc[1].split("."))) <= (2, 35), "too new for Ubuntu 22.04"


@pytest.mark.box
def test_every_library_is_in_the_package_or_in_one_it_depends_on(unpacked: Path) -> None:
    libraries = [path for path in (unpacked / SITE).rglob("*.so*") if path.is_file()]
    dynamic = command("readelf", "--dynamic", "--wide", *libraries)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    inside = {path.name for path in libraries}
    assert len(libraries) > 100
    assert needed - inside - FROM_THE_SYSTEM == set()


@pytest.mark.box
def test_modules_are_compiled_because_the_service_may_not_write_them(unpacked: Path) -> None:
    package = unpacked / SITE / "whisperd"
    modules = list(package.rglob("*.py"))
    assert modules
    for module in modules:
        compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-311.pyc"
        # Unchecked: valid whatever the time stamps that dpkg gives to the sources.
        assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00"


@pytest.mark.box
def test_no_file_names_the_place_where_the_package_was_built(unpacked: Path) -> None:
    done = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--fixed-strings", str(REPOSITORY), unpacked],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""


@pytest.mark.box
def test_each_bundled_package_is_listed_with_its_licence(unpacked: Path) -> None:
    listing = (unpacked / "usr/share/doc/whisperd/third-party.txt").read_text()
    bundled = {path.name.partition("-")[0] for path in (unpacked / SITE).glob("*.dist-info")}
    listed = re.findall(r"^([\w.-]+) [\d.]+\S*: (?=\S)", listing, re.MULTILINE)
    assert {re.sub(r"[-_.]+", "_", name.lower()) for name in listed} == {name.lower() for name in bundled}


@pytest.mark.box
@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not installed")
def test_lintian_finds_nothing_but_what_is_overridden_with_a_reason(package: Path) -> None:
    done = subprocess.run([DEBIAN / "lint", package], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
