"""Which requests are like one that was refused, by their first bytes."""

import pytest

from whisperd.web.turnstile import BEGINNING_BYTES, Beginning, Turnstile

BOUNDARY = "----boundary-1"
HEAD = (
    "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\n"
    f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: 4711\r\n\r\n"
)
FIELD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\nbase\r\n'
FILE = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="talk.wav"\r\n\r\nRIFF'
REQUEST = HEAD + FIELD + FILE
CLIENT = "10.0.0.1"
ANSWER = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def beginning(request: str) -> Beginning:
    return Beginning.of(request.encode())


def refused(came: str, *, by: str = REQUEST, client: str = CLIENT) -> bool:
    """Whether a request is refused as the one before it was, whose client was CLIENT."""
    turnstile = Turnstile()
    turnstile.remember(CLIENT, by.encode(), lambda _: ANSWER)
    return turnstile.refuse(client, beginning(came), 0.0) == ANSWER


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        REQUEST.replace(BOUNDARY, "a-boundary-of-its-own"),
        REQUEST.replace("4711", "9999"),
        REQUEST.replace("talk.wav", "more.flac").replace("RIFF", "fLaC and much else"),
    ],
)
def test_two_are_alike_but_for_the_boundary_the_length_and_the_recording(request_: str) -> None:
    assert refused(request_)


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST.replace("base", "tiny.en"),
        REQUEST.replace("Bearer a", "Bearer b"),
        REQUEST.replace("transcriptions", "translations"),
        REQUEST.replace("Host: x", "Host: x\r\nX-Request-Id: 1"),
        REQUEST.replace("4711", "47110"),
        REQUEST.replace('name="file"', 'name="audio"'),
        HEAD + FIELD + FIELD.replace("model", "diarize") + FILE,
        HEAD + FILE,
        HEAD + FIELD,
        HEAD,
    ],
)
def test_what_is_asked_for_and_by_whom_tells_two_apart(request_: str) -> None:
    assert not refused(request_)


def test_one_client_is_not_taken_for_another() -> None:
    assert not refused(REQUEST, client="10.0.0.2")


def test_what_was_refused_by_its_head_is_like_all_with_that_head() -> None:
    assert refused(HEAD, by=HEAD)
    assert refused(REQUEST, by=HEAD)


def test_a_value_that_looks_like_a_files_name_is_no_file() -> None:
    prompt = FIELD.replace("model", "prompt").replace("base", "; filename=")
    assert not refused(HEAD + prompt + FIELD + FILE, by=HEAD + prompt + FILE)


@pytest.mark.parametrize("size", range(len(HEAD + FIELD)))
def test_as_long_as_more_may_tell_it_goes_on(size: int) -> None:
    assert beginning(REQUEST[:size]).goes_on


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        "GET /health HTTP/1.1\r\nHost: x\r\n",
        "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01",
        HEAD.replace("multipart/form-data", "application/json"),
        HEAD.replace("Content-Length: 4711", "Transfer-Encoding: chunked"),
        HEAD.replace("4711", "0"),
        HEAD.replace("4711", str(len(FIELD))) + FIELD,
        HEAD + "x" * BEGINNING_BYTES,
        "POST /" + "x" * BEGINNING_BYTES,
    ],
)
def test_where_nothing_more_may_tell_nobody_waits(request_: str) -> None:
    assert not beginning(request_).goes_on


def test_a_boundary_that_is_part_of_many_words_makes_none_alike() -> None:
    assert beginning(REQUEST.replace(BOUNDARY, "short")).digests == ()


def test_the_size_is_that_of_head_and_body() -> None:
    assert beginning(REQUEST).size == len(HEAD) + 4711


def test_where_there_is_room_now_it_has_to_be_read() -> None:
    turnstile = Turnstile()
    turnstile.remember(CLIENT, REQUEST.encode(), lambda _: None)
    assert turnstile.refuse(CLIENT, beginning(REQUEST), 0.0) is None


def test_the_answer_is_told_when_the_request_came() -> None:
    came: list[float] = []
    turnstile = Turnstile()
    turnstile.remember(CLIENT, REQUEST.encode(), came.append)
    turnstile.refuse(CLIENT, beginning(REQUEST), 7.5)
    assert came == [7.5]


def test_after_a_while_one_is_read_again() -> None:
    clock = Clock()
    turnstile = Turnstile(clock)
    assert not turnstile.busy
    turnstile.remember(CLIENT, REQUEST.encode(), lambda _: ANSWER)
    clock.now += 4
    turnstile.remember("10.0.0.2", REQUEST.encode(), lambda _: ANSWER)
    clock.now += 2
    assert turnstile.busy
    assert turnstile.refuse(CLIENT, beginning(REQUEST), 0.0) is None
    assert turnstile.refuse("10.0.0.2", beginning(REQUEST), 0.0) == ANSWER
    clock.now += 4
    assert not turnstile.busy


def test_only_so_many_are_kept() -> None:
    turnstile = Turnstile()
    for number in range(100):
        turnstile.remember(f"10.0.0.{number}", REQUEST.encode(), lambda _: ANSWER)
    kept = [turnstile.refuse(f"10.0.0.{number}", beginning(REQUEST), 0.0) for number in range(100)]
    assert kept == [None] * 36 + [ANSWER] * 64


def test_what_cant_be_told_apart_is_not_kept() -> None:
    turnstile = Turnstile()
    turnstile.remember(CLIENT, b"", lambda _: ANSWER)
    turnstile.remember(CLIENT, b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", lambda _: ANSWER)
    assert not turnstile.busy
