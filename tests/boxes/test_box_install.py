"""What `apt install` leaves on a machine where nothing else is, and how the service fails without a model."""

import pytest

from boxes.box import Box
from boxes.systems import Installation


def test_the_installation_needs_no_network_and_says_what_to_do_next(installation: Installation) -> None:
    assert "whisperd models pull" in installation.output
    assert "systemctl start whisperd" in installation.output


def test_the_installed_files_are_as_they_were_packaged(fresh: Box) -> None:
    assert fresh.output("dpkg", "--verify", "whisperd") == ""


def test_the_installation_enables_the_service_and_starts_nothing(
    installation: Installation, fresh: Box
) -> None:
    assert installation.journal == []
    assert fresh.output("systemctl", "is-enabled", "whisperd.service") == "enabled"
    assert fresh.systemctl("is-enabled", "whisperd.socket", check=False).stdout.strip() == "disabled"
    # the boot did start it
    assert "Starting whisperd" in fresh.messages()


def test_the_service_has_a_user_of_its_own_that_may_open_cards(fresh: Box) -> None:
    groups = fresh.output("id", "--name", "--groups", "whisperd").split()
    assert set(groups) == {"whisperd", "video", "render"}


def test_without_a_model_the_service_fails_once_and_names_the_command(fresh: Box) -> None:
    assert fresh.show("Result") == "exit-code"
    assert fresh.show("ExecMainStatus") == "78"
    assert fresh.show("NRestarts") == "0"
    assert "whisperd models pull" in fresh.show("StatusText")
    assert "whisperd models pull" in fresh.messages()
    status = fresh.systemctl("status", "whisperd.service", check=False).stdout
    assert "whisperd models pull" in status


def test_a_mistake_in_the_configuration_is_told_and_not_tried_again(fresh: Box) -> None:
    fresh.write("/etc/whisperd.toml.d/mistake.toml", "[transcribe]\nbeem_size = 3\n")
    assert fresh.systemctl("start", "whisperd.service", check=False).returncode != 0
    fresh.run("rm", "/etc/whisperd.toml.d/mistake.toml")
    assert fresh.show("ExecMainStatus") == "78"
    assert fresh.show("NRestarts") == "0"
    assert "transcribe.beem_size" in fresh.show("StatusText")
    assert "beam_size" in fresh.messages()


@pytest.mark.parametrize("unit", ["whisperd.service", "whisperd.socket"])
def test_systemd_has_nothing_to_say_against_a_unit(fresh: Box, unit: str) -> None:
    # Unknown keys and bad values are warnings there, told on stderr with exit status 0.
    done = fresh.run("systemd-analyze", "verify", "--man=no", f"/lib/systemd/system/{unit}")
    assert done.stderr == ""


def test_the_nodes_of_the_cards_are_made_before_the_service_starts(fresh: Box) -> None:
    fresh.write("/usr/bin/nvidia-modprobe", '#!/bin/sh\necho "$*" >>/made\n')
    fresh.run("chmod", "755", "/usr/bin/nvidia-modprobe")
    # where the driver lists its cards
    fresh.run("mount", "-t", "tmpfs", "driver", "/proc/driver")
    fresh.run("mkdir", "-p", "/proc/driver/nvidia/gpus/0000:01:00.0", "/proc/driver/nvidia/gpus/0000:02:00.0")
    with fresh.override(
        "ExecStart=",
        "ExecStart=/bin/cp /made /run/whisperd/seen",
        "Type=oneshot",
        "RuntimeDirectoryPreserve=yes",
    ):
        fresh.systemctl("start", "whisperd.service")
    assert fresh.output("cat", "/run/whisperd/seen").splitlines() == ["-c 255", "-c 0", "-c 1", "-u -c 0"]
