"""Durations and sizes as people write them."""

import copy
import pickle

import pytest

from whisperd.config.units import Duration, Size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5min", 300),
        ("1h 30min", 5400),
        ("1h30min", 5400),
        ("500ms", 0.5),
        ("0.5 s", 0.5),
        ("2 d", 172_800),
        ("10S", 10),
        (" 30s ", 30),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert float(Duration(text)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 * 2**30),
        ("500MB", 500_000_000),
        ("1.5KiB", 1536),
        ("64 kb", 64_000),
        ("12B", 12),
        ("1TiB", 2**40),
        ("0", 0),
    ],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert int(Size(text)) == size


@pytest.mark.parametrize("value", [30, 30.5, "30", "30 ", 0.5])
def test_a_bare_number_is_refused_with_the_way_to_write_it(value: object) -> None:
    with pytest.raises(ValueError, match=r'without a unit; write it as "30s" or "1h 30min"; units are ms,'):
        Duration.parse(value)
    with pytest.raises(ValueError, match=r'without a unit; write it as "500MB" or "2GiB"; units are B, kB,'):
        Size.parse(value)


@pytest.mark.parametrize("zero", [0, 0.0, "0", "0.0"])
def test_zero_needs_no_unit(zero: object) -> None:
    assert not Duration.parse(zero)
    assert not Size.parse(zero)


@pytest.mark.parametrize("text", ["30m", "5 minutes", "1h 30m", "1e3s"])
def test_an_unknown_unit_is_named_with_those_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r'"(m|minutes|e)" is not a unit; .* units are ms, s, min, h, d$'):
        Duration(text)


@pytest.mark.parametrize("text", ["", " ", "-5s", "s", "5s!", "1,5s", "2x 3", "\u0661s", "inf", "nan"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="units are ms, s, min, h, d"):
        Duration(text)


@pytest.mark.parametrize("value", [True, None, ["30s"], {"s": 30}])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected text with a unit"):
        Duration.parse(value)


def test_an_amount_is_shown_as_it_was_written() -> None:
    assert str(Duration("1h 30min")) == "1h 30min"
    assert f"{Size('2GiB')}" == "2GiB"
    assert "%s" % Duration("90s") == "90s"  # noqa: UP031 - the way that logging formats
    assert repr(Size("2GiB")) == "Size('2GiB')"


def test_amounts_are_equal_however_they_are_written() -> None:
    assert Duration("60s") == Duration("1min")
    assert hash(Size("1KiB")) == hash(Size("1024B"))


def test_an_amount_survives_being_copied_and_pickled() -> None:
    for amount in (Duration("1min"), Size("2GiB")):
        for twin in (copy.deepcopy(amount), pickle.loads(pickle.dumps(amount))):
            assert (twin, str(twin), type(twin)) == (amount, str(amount), type(amount))
