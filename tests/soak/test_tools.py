"""The tools of the soak see what is wrong, and excuse what has a reason."""

import random
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from soak.asking import DIED, Asker, Refused, WorkersDied, Wrong, form
from soak.errands import ERRANDS, pick
from soak.killing import Killings
from soak.ledger import Ledger
from soak.material import Material
from soak.watching import Moment, Rest, Watch, files
from soak.world import alike

REFERENCES = {
    "a": "Hello there, my friend.",
    "b": "A Yankee down here.",
    "long": "One two three four five six.",
}


# ---- answers -------------------------------------------------------------------------------------


async def asked(answer: web.Response, killings: Killings) -> None:
    """Ask a server that answers so, where 200 would be right."""

    async def handle(_: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestServer(app) as server, Asker(str(server.make_url("")), killings) as asker:
        await asker.ask("GET", "/")


def busy(text: str, **headers: str) -> web.Response:
    return web.Response(status=503, text=text, headers=headers)


async def test_a_refusal_has_to_say_when_to_come_back() -> None:
    with pytest.raises(Refused) as refused:
        await asked(busy("full", **{"Retry-After": "7"}), Killings())
    assert refused.value.retry_after_s == 7
    for headers in ({}, {"Retry-After": "0"}, {"Retry-After": "soon"}):
        with pytest.raises(Wrong, match="Retry-After"):
            await asked(busy("full", **headers), Killings())


async def test_it_is_not_ready_only_while_a_worker_that_was_killed_is_missed() -> None:
    killings = Killings()
    with pytest.raises(Wrong, match="no worker was missed"):
        await asked(busy("not ready: ...", **{"Retry-After": "5"}), killings)
    killing = killings.note("decode")
    with pytest.raises(Refused):
        await asked(busy("not ready: ...", **{"Retry-After": "5"}), killings)
    killing.back = killing.killed - 10
    with pytest.raises(Wrong, match="no worker was missed"):
        await asked(busy("not ready: ...", **{"Retry-After": "5"}), killings)


async def test_one_of_several_recordings_may_come_too_early_only_while_a_worker_is_missed() -> None:
    killings = Killings()
    async with Asker("http://nowhere", killings) as asker:
        with pytest.raises(Wrong):
            asker.excuse_failure("one of several", "not ready: ...", time.monotonic())
        killings.note("diarize")
        with pytest.raises(Refused):
            asker.excuse_failure("one of several", "not ready: ...", time.monotonic())


async def test_an_engine_may_fail_only_where_two_workers_were_killed_meanwhile() -> None:
    killings = Killings()
    began = time.monotonic()
    async with Asker("http://nowhere", killings) as asker:
        for expected in (Wrong, WorkersDied):
            killings.note("transcribe")
            with pytest.raises(expected):
                asker.excuse_failure("a request", f"killed, {DIED}", began)
        with pytest.raises(Wrong):
            asker.excuse_failure("a request", "something else", began)
        with pytest.raises(Wrong):
            asker.excuse_failure("a request", f"killed, {DIED}", time.monotonic())


def test_a_worker_that_does_not_come_back_is_complained_of() -> None:
    killings = Killings()
    killing = killings.note("diarize")
    assert killings.wrong() == ["diarize was not back 120 s after it was killed"]
    killing.back = killing.killed + 8
    assert killings.wrong() == []


async def test_a_connection_that_breaks_is_no_answer() -> None:
    async with Asker("http://127.0.0.1:1", Killings()) as asker:
        with pytest.raises(Wrong, match="no answer"):
            await asker.ask("GET", "/")


def test_a_transcript_has_to_be_that_of_its_recording() -> None:
    assert alike("hello there my friend", "a", REFERENCES)
    assert not alike("hello there my friend", "b", REFERENCES)
    assert alike("one two three four six", "long", REFERENCES)
    assert not alike("one two", "long", REFERENCES)


# ---- errands -------------------------------------------------------------------------------------


def test_the_same_seed_has_the_same_errands_and_every_kind_among_them() -> None:
    one, other = ([pick(chance) for _ in range(3000)] for chance in (random.Random(3), random.Random(3)))
    assert one == other
    assert set(one) == set(ERRANDS)


def test_a_form_has_each_recording_under_its_field() -> None:
    material = Material()
    clip, other = material.clips[0], material.packed[0]
    body = form(("files", clip), ("files", other), language="en")
    assert body.data.count(b'name="files"') == 2
    assert clip.data in body.data
    assert other.data in body.data
    assert b'name="language"\r\n\r\nen\r\n' in body.data


def test_a_visit_without_an_end_is_complained_of() -> None:
    ledger = Ledger()
    ledger.close(ledger.open("stream"), "answered")
    assert ledger.wrong() == []
    ledger.open("stream")
    ledger.complain(ledger.open("clip"), "said nothing")
    assert ledger.wrong() == ["clip: said nothing", "stream: 1 without an answer"]


# ---- what is held --------------------------------------------------------------------------------


def watched(directory: Path, megabytes: list[int], descriptors: list[int]) -> Watch:
    watch = Watch(psutil.Process(), directory)
    watch.moments = [
        Moment(5.0 * n, Counter(daemon=each), opened, 1, 0)
        for n, (each, opened) in enumerate(zip(megabytes, descriptors, strict=True))
    ]
    return watch


def test_memory_and_descriptors_that_grow_are_told(tmp_path: Path) -> None:
    flat, growing = [100] * 100, list(range(100, 200))
    assert watched(tmp_path, flat, flat).wrong(0.05) == []
    assert len(watched(tmp_path, growing, growing).wrong(0.05)) == 2
    assert len(watched(tmp_path, growing, flat).wrong(0.9)) == 0


def test_what_it_takes_to_warm_up_is_no_growth(tmp_path: Path) -> None:
    assert watched(tmp_path, [10] * 10 + [100] * 90, [5] * 100).wrong(0.05) == []


def test_a_rest_tells_what_there_is_more_of() -> None:
    before = Rest(Counter(socket=3, pipe=2), 3, frozenset())
    assert before.more_than(before) == []
    assert Rest(Counter(socket=2, pipe=2), 2, frozenset()).more_than(before) == []
    after = Rest(Counter(socket=4, pipe=2), 4, frozenset({"one"}))
    assert len(after.more_than(before)) == 3


def test_files_are_found_wherever_they_lie_but_not_behind_links(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other").touch()
    (tmp_path / "below" / "link").symlink_to(elsewhere)
    assert files(tmp_path / "below") == {"file"}
