"""Which addresses are near."""

import pytest

from whisperd.access.networks import UNIX_SOCKET, are_in, are_private


@pytest.mark.parametrize(
    "address",
    [
        UNIX_SOCKET, "127.0.0.1", "127.9.9.9", "::1", "10.0.0.1", "10.255.255.255", "172.16.0.1",
        "172.31.9.9", "192.168.178.20", "169.254.3.3", "fe80::1", "fe80::1%eth0", "fd00::5", "fc00::1",
        "::ffff:192.168.1.4", "::ffff:127.0.0.1",
    ],
)  # fmt: skip
def test_private_addresses(address: str) -> None:
    assert are_private([address])


@pytest.mark.parametrize(
    "address",
    [
        None, "8.8.8.8", "172.32.0.1", "172.15.255.255", "192.169.0.1", "11.0.0.1", "100.64.0.1", "0.0.0.0",
        "::", "2001:db8::1", "2a02::1", "::ffff:8.8.8.8", "64:ff9b::a00:1", "unknown", "localhost",
        "10.0.0.1, 8.8.8.8", "010.0.0.1", "10.1", " ", "192.168.1.1:80",
    ],
)  # fmt: skip
def test_all_others_are_not(address: str | None) -> None:
    assert not are_private([address])


def test_one_strange_address_among_private_ones_is_enough() -> None:
    assert are_private(["127.0.0.1", "192.168.1.7"])
    assert not are_private(["127.0.0.1", "8.8.8.8"])
    assert not are_private(["127.0.0.1", None])


def test_networks_that_are_named() -> None:
    networks = ("203.0.113.0/24", "2001:db8::/32")
    assert are_in(["203.0.113.9"], networks)
    assert are_in(["::ffff:203.0.113.9"], networks)
    assert are_in(["2001:db8::7%eth0"], networks)
    assert not are_in(["203.0.114.9"], networks)
    assert not are_in(["203.0.113.9", "8.8.8.8"], networks)
    assert not are_in([None], networks)
    assert not are_in(["127.0.0.1"], ())


def test_the_peer_of_a_unix_socket_is_this_machine() -> None:
    assert are_in([UNIX_SOCKET], ("127.0.0.0/8",))
    assert not are_in([UNIX_SOCKET], ("192.168.0.0/16",))
