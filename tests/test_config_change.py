"""What a reload does with a configuration that differs from the one in force."""

from dataclasses import replace
from pathlib import Path

from whisperd.config.change import Changes, changes, merged
from whisperd.config.schema import Config
from whisperd.config.units import Duration


def test_nothing_changes_between_equals() -> None:
    written_otherwise = replace(Config(), limits=replace(Config().limits, wait=Duration("60min")))
    assert changes(Config(), Config()) == Changes((), ())
    assert changes(Config(), written_otherwise) == Changes((), ())


def test_live_options_are_applied_and_the_others_wait_for_a_restart() -> None:
    old = Config()
    new = replace(
        old,
        limits=replace(old.limits, waiting=3, duration=Duration("1h")),
        transcribe=replace(old.transcribe, language="fr", device="cpu"),
    )
    assert changes(old, new) == Changes(
        applied=("limits.waiting", "transcribe.language"),
        needs_restart=("limits.duration", "transcribe.device"),
    )
    now = merged(old, new)
    assert (now.limits.waiting, now.limits.duration) == (3, old.limits.duration)
    assert (now.transcribe.language, now.transcribe.device) == ("fr", "auto")


def test_what_waits_for_a_restart_is_told_at_each_reload() -> None:
    old = Config()
    new = replace(old, transcribe=replace(old.transcribe, device="cpu"))
    assert changes(merged(old, new), new).needs_restart == ("transcribe.device",)


def test_a_live_option_that_needs_another_model_waits_with_it() -> None:
    old = replace(Config(), transcribe=replace(Config().transcribe, model="tiny.en"))
    new = replace(old, transcribe=replace(old.transcribe, model="base", language="fr"))
    assert merged(old, new) == old
    assert changes(old, new) == Changes((), ("transcribe.model", "transcribe.language"))


def test_another_certificate_is_applied_but_tls_is_not_switched_on_or_off() -> None:
    plain = Config()
    first = replace(
        plain, server=replace(plain.server, tls_certificate=Path("/a.pem"), tls_key=Path("/a.key"))
    )
    second = replace(plain, server=replace(first.server, tls_certificate=Path("/b.pem")))
    assert changes(first, second) == Changes(("server.tls_certificate",), ())
    for old, new in ((plain, first), (first, plain)):
        assert changes(old, new) == Changes((), ("server.tls_certificate", "server.tls_key"))
        assert merged(old, new) == old
