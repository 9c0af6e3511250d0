"""URLs: read as they were sent, shown without what is secret in them."""

import pytest

from whisperd.errors import ParameterError, UrlRefused
from whisperd.media.urls import parse, shown


@pytest.mark.parametrize(
    "url",
    [
        "http://h/a%2Fb?X=a%2Fb%2B+c%20d&e=%c3%a9&f=~!*'()",
        "https://H.example:8443/a//b/../c?d",
        "http://user:pa%40ss@h/x",
        "http://[::1]:9000/x",
    ],
)
def test_a_url_stays_as_it_was_written(url: str) -> None:
    assert str(parse(url)) == url


def test_what_can_not_be_sent_is_quoted() -> None:
    assert str(parse("http://h/größe 1?q=\r\nX: y")) == "http://h/gr%C3%B6%C3%9Fe%201?q=X:+y"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "talk.wav",
        "/talk.wav",
        "//h/talk.wav",
        "http:///talk.wav",
        "http:talk.wav",
        "http://[::1",
        "http://h:99999/",
        "http://h:port/",
        "http://h\\@evil/",
    ],
)
def test_what_is_no_url_is_the_callers_mistake(url: str) -> None:
    with pytest.raises(ParameterError) as mistake:
        parse(f"{url}?X-Amz-Signature=5ec4e7" if url else url)
    assert "5ec4e7" not in mistake.value.message


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "s3://bucket/x", "data:audio/wav;base64,AA==", "ws://h/x"]
)
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(UrlRefused, match="http and https"):
        parse(url)


def test_a_scheme_may_be_written_in_capitals() -> None:
    assert parse("HTTPS://h/x").scheme == "https"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/c?d=%2F", "http://u:p@h:81/c?d=%2F"),
        ("c", "http://u:p@h:81/a/c"),
        ("//other/x", "http://other/x"),
        ("http://h:81/x", "http://h:81/x"),
        ("https://other/x", "https://other/x"),
    ],
)
def test_a_redirect_may_be_relative_and_takes_no_password_elsewhere(location: str, target: str) -> None:
    assert str(parse(location, parse("http://u:p@h:81/a/b?q=1"))) == target


def test_a_url_is_shown_without_its_secrets() -> None:
    url = parse("https://user:pass@h.example:8443/dir/talk.wav?X-Amz-Signature=5ec4e7#fragment")
    assert shown(url) == "https://h.example:8443/dir/talk.wav"


def test_a_long_url_is_shown_in_part() -> None:
    assert len(shown(parse("http://h/" + "x" * 60_000))) < 300
