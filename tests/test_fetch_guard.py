"""The guard: which addresses are public, and what the configuration allows besides."""

import ipaddress
import socket

import pytest
from conftest import changed
from fake_resolver import FakeResolver
from yarl import URL

from whisperd.config.live import Live
from whisperd.config.schema import Config
from whisperd.errors import UrlRefused
from whisperd.media.guard import Guard, is_public
from whisperd.media.resolver import Resolver

PUBLIC = [
    "8.8.8.8",
    "1.0.0.1",
    "223.255.255.254",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:830::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.171",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "232.1.1.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:224.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


def guard(config: Config, *allow: str, **hosts: list[str]) -> Guard:
    resolver = FakeResolver(**{name: [addresses] for name, addresses in hosts.items()})
    return Guard(Live(changed(config, "fetch", allow=allow)), resolver)


async def addresses(guard: Guard, host: str) -> list[str]:
    return [result["host"] for result in await guard.resolve(host, 80)]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_one_hosts_on_the_internet_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


async def test_a_name_gives_the_addresses_that_were_checked(config: Config) -> None:
    public = ["8.8.8.8", "2606:4700:4700::1111"]
    assert await addresses(guard(config, host=public), "host") == public


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_that_leads_to_a_private_address_is_refused(config: Config, address: str) -> None:
    with pytest.raises(UrlRefused, match=r"^inside is refused.*fetch\.allow") as refusal:
        await guard(config, inside=[address]).resolve("inside", 80)
    assert refusal.value.status == 403
    # What the name stands for in this network is not the caller's business.
    assert address not in refusal.value.message


async def test_one_private_address_among_public_ones_is_refused(config: Config) -> None:
    with pytest.raises(UrlRefused):
        await guard(config, mixed=["8.8.8.8", "10.0.0.1"]).resolve("mixed", 80)


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("garage", "garage"),
        ("Garage", "garage"),
        ("garage", "GARAGE"),
        ("garage", "garage."),
        ("*.lan.example", "s3.lan.example"),
        ("*.lan.example", "a.b.lan.example"),
        ("10.0.0.0/8", "somewhere"),
        ("10.1.2.3", "somewhere"),
    ],
)
async def test_a_host_that_the_configuration_allows_may_be_private(
    config: Config, entry: str, host: str
) -> None:
    assert await addresses(guard(config, entry, **{host: ["10.1.2.3"]}), host) == ["10.1.2.3"]


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("garage", "garage.example"),
        ("garage", "mygarage"),
        ("*.lan.example", "lan.example"),
        ("*.lan.example", "evillan.example"),
        ("10.2.0.0/16", "somewhere"),
        ("fd00::/8", "somewhere"),
    ],
)
async def test_what_the_configuration_allows_is_no_more_than_it_says(
    config: Config, entry: str, host: str
) -> None:
    with pytest.raises(UrlRefused):
        await guard(config, entry, **{host: ["10.1.2.3"]}).resolve(host, 80)


@pytest.mark.parametrize("address", ["::ffff:10.1.2.3", "64:ff9b::10.1.2.3"])
async def test_an_allowed_network_may_be_reached_by_the_ipv6_form_of_its_addresses(
    config: Config, address: str
) -> None:
    assert await addresses(guard(config, "10.0.0.0/8", host=[address]), "host") == [address]


async def test_an_allowed_network_of_ipv6_is_that_network(config: Config) -> None:
    mine = guard(config, "fd00:1::/32", inside=["fd00:1::5"], other=["fd00:2::5"])
    assert await addresses(mine, "inside") == ["fd00:1::5"]
    with pytest.raises(UrlRefused):
        await mine.resolve("other", 80)


async def test_each_address_of_a_name_must_be_public_or_allowed(config: Config) -> None:
    mine = guard(config, "10.0.0.0/8", both=["10.0.0.1", "8.8.8.8"], more=["10.0.0.1", "192.168.0.1"])
    assert len(await addresses(mine, "both")) == 2
    with pytest.raises(UrlRefused):
        await mine.resolve("more", 80)


async def test_a_reload_changes_what_is_allowed(config: Config) -> None:
    live = Live(config)
    mine = Guard(live, FakeResolver(garage=[["10.0.0.1"]]))
    with pytest.raises(UrlRefused):
        await mine.resolve("garage", 80)
    live.current = changed(config, "fetch", allow=("garage",))
    assert await mine.resolve("garage", 80)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "0",
        "8.8.8",
        "256.1.1.1",
        "...",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[fe80::1%25lo]",
    ],
)
def test_an_address_in_the_url_itself_is_checked_too(config: Config, host: str) -> None:
    with pytest.raises(UrlRefused):
        guard(config).check(URL(f"http://{host}/talk.wav", encoded=True))


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2606:4700:4700::1111]", "10.0.0.1", "[::ffff:10.0.0.1]", "name"]
)
def test_a_public_or_allowed_address_in_the_url_passes(config: Config, host: str) -> None:
    guard(config, "10.0.0.0/8").check(URL(f"http://{host}/talk.wav", encoded=True))


@pytest.mark.parametrize("host", ["0x7f.1", "0x7f000001", "localhost"])
async def test_what_only_the_system_reads_as_an_address_is_checked_as_it_reads_it(
    config: Config, host: str
) -> None:
    with pytest.raises(UrlRefused):
        await Guard(Live(config), Resolver()).resolve(host, 80)


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
async def test_a_name_that_can_not_be_one_is_not_found(config: Config, host: str) -> None:
    with pytest.raises(socket.gaierror):
        await Guard(Live(config), Resolver()).resolve(host, 80)


async def test_a_name_without_an_address_is_not_found(config: Config) -> None:
    with pytest.raises(socket.gaierror):
        await guard(config, empty=[]).resolve("empty", 80)
