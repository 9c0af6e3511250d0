"""The package's life on a machine where the service runs: upgraded, downgraded, removed, purged."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from recordings import conversation

from boxes.box import Box, until
from boxes.packages import with_version


@pytest.fixture(scope="module")
def newer(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with a higher version."""
    return with_version(package, "99.0+cpu", tmp_path_factory.mktemp("newer") / "newer.deb")


@pytest.fixture
def box(stocked: tuple[Path, ...], release: str, package: Path, newer: Path) -> Iterator[Box]:
    """A system of the test's own where the service runs, with both packages at hand."""
    read_only = {package: "/older.deb", newer: "/newer.deb"}
    with Box.boot(f"upgrade-{release}", stocked, size="6g", read_only=read_only) as box:
        yield box


def starts(box: Box) -> int:
    return sum(str(entry.get("MESSAGE", "")).startswith("Started whisperd") for entry in box.journal())


def test_an_upgrade_restarts_a_running_service_once_and_answers_what_was_running(box: Box) -> None:
    box.write("/etc/whisperd.toml.d/own.toml", "[limits]\nwaiting = 7\n")
    before = starts(box)
    pid = box.main_pid()
    uploads = [box.begin_post("/transcribe", conversation(), language="en") for _ in range(2)]
    output = box.apt("install", "/newer.deb")
    assert "Configuration file" not in output
    assert [upload.reply().status for upload in uploads] == [200, 200]
    assert box.output("dpkg-query", "--show", "--showformat=${Version}", "whisperd").startswith("99.0")
    assert starts(box) == before + 1
    assert box.main_pid() not in (0, pid)
    assert box.show("ActiveState") == "active"
    assert box.post("/transcribe", conversation(), language="en").status == 200
    assert "waiting = 7" in box.output("cat", "/etc/whisperd.toml.d/own.toml")

    # and back, of a service that its administrator has stopped for good
    box.systemctl("disable", "--now", "whisperd.service")
    before = starts(box)
    box.apt("install", "/older.deb")
    assert not box.output("dpkg-query", "--show", "--showformat=${Version}", "whisperd").startswith("99.0")
    assert box.show("ActiveState") == "inactive"
    assert box.systemctl("is-enabled", "whisperd.service", check=False).stdout.strip() == "disabled"
    assert starts(box) == before


def test_a_removal_stops_the_service_and_keeps_models_and_settings_until_the_purge(box: Box) -> None:
    box.systemctl("stop", "whisperd.service")
    box.systemctl("enable", "--now", "whisperd.socket")
    box.systemctl("start", "whisperd.service")
    group = box.show("ControlGroup")
    box.apt("remove", "whisperd")
    until(lambda: not box.exists(f"/sys/fs/cgroup{group}"), "the end of the service's processes", 10)
    assert not box.exists("/usr/bin/whisperd")
    assert not box.exists("/usr/lib/whisperd")
    assert box.show("LoadState") != "loaded"
    assert box.get("/health").status == 0
    assert box.exists("/var/lib/whisperd/models/tiny.en/model.bin")
    assert box.exists("/etc/whisperd.toml")
    assert "tiny.en" in box.output("sh", "-c", "cat /etc/whisperd.toml.d/*")

    box.apt("purge", "whisperd")
    left = box.output(
        "find", "/", "-xdev", "-name", "*whisperd*", "!", "-path", "/var/log/*", "!", "-name", "*.deb"
    )
    assert left == ""
    assert box.systemctl("is-system-running").stdout.strip() == "running"
