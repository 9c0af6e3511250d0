"""Times as they are typed: a length from now, such as 90d, or a date, 2027-01-31."""

import argparse
import datetime

from whisperd.config.units import Duration


def length(text: str) -> datetime.timedelta:
    """`1d`, `12h`, `0`; as an argument's type."""
    try:
        return datetime.timedelta(seconds=Duration.parse(text))
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def ahead(text: str) -> datetime.datetime:
    """`90d` from now, or the beginning of a date, in UTC; as an argument's type."""
    moment = _moment(text, 1)
    if moment <= _now():
        raise argparse.ArgumentTypeError(f"{text} is not in the future")
    return moment


def day(text: str) -> datetime.date:
    """The day that was `7d` ago, or a date, in UTC; as an argument's type."""
    return _moment(text, -1).date()


def _moment(text: str, direction: int) -> datetime.datetime:
    try:
        return datetime.datetime.combine(datetime.date.fromisoformat(text), datetime.time(), datetime.UTC)
    except ValueError:
        pass  # a length, then
    try:
        return _now() + direction * length(text)
    except (argparse.ArgumentTypeError, OverflowError):
        raise argparse.ArgumentTypeError(
            f'"{text}" is neither a length of time, such as 90d, nor a date, such as 2027-01-31'
        ) from None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
