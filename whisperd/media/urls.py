"""URLs that requests hold: read without a change, and told of without their secrets."""

import re
from typing import Final

from yarl import URL

from whisperd.errors import ParameterError, UrlRefused

_NEEDS_NO_QUOTING: Final = re.compile("[!-~]*")
_SHOWN_CHARACTERS: Final = 200


def parse(text: str, base: URL | None = None) -> URL:
    """Read a URL, also a relative one where there is a `base`. Raises ParameterError, UrlRefused.

    It stays as it was written wherever that can be sent: a signature may hold for these characters alone.
    """
    try:
        url = URL(text, encoded=_NEEDS_NO_QUOTING.fullmatch(text) is not None)
        if base:
            url = base.join(url)
        scheme, is_whole = url.scheme, bool(url.host and url.port)
    except ValueError:  # whose message may repeat it
        scheme, is_whole = "", False
    if scheme and scheme not in ("http", "https"):
        raise UrlRefused(f"this server uses URLs of http and https, not of {scheme[:20]}")
    if not (scheme and is_whole):
        raise ParameterError("this is not a URL; it is written http://HOST/PATH or https://HOST/PATH")
    return url


def shown(url: URL) -> str:
    """The URL as messages and the journal may hold it: without user, password, query and fragment."""
    text = str(url.with_user(None).with_query(None).with_fragment(None))
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
