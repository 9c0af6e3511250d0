"""When a text is believed, and what is tried when it is not."""

from dataclasses import replace

from whisperd.engine.attempts import TEMPERATURES, Attempts, Decoded

GOOD = Decoded(
    tokens=(1,),
    text="Good.",
    temperature=0.0,
    avg_logprob=-0.3,
    compression_ratio=1.0,
    no_speech_prob=0.1,
    ended=True,
    last_timestamp=9.8,
)
LOOP = replace(GOOD, text="a a a", compression_ratio=5.0)
DOUBTED = replace(GOOD, text="Perhaps.", avg_logprob=-1.5)


def attempts(*, fitted: bool = False) -> Attempts:
    return Attempts(temperatures=TEMPERATURES, fitted=fitted, duration=10, voice_end=9.9)


def test_a_good_text_is_kept() -> None:
    assert attempts().judge(GOOD) == GOOD
    assert attempts(fitted=True).judge(GOOD) == GOOD


def test_a_bad_text_climbs_the_ladder_and_a_good_one_ends_it() -> None:
    tried = attempts()
    for bad, next_temperature in ((LOOP, 0.2), (DOUBTED, 0.4)):
        assert tried.judge(bad) is None
        tried.refuse(bad)
        assert tried.temperature == next_temperature
    assert tried.judge(GOOD) == GOOD


def test_at_the_ladders_end_the_most_probable_text_that_does_not_repeat_itself_is_kept() -> None:
    tried = attempts()
    for bad in (LOOP, replace(DOUBTED, avg_logprob=-2.0), DOUBTED, LOOP, LOOP):
        assert tried.judge(bad) is None
        tried.refuse(bad)
    assert tried.judge(replace(LOOP, avg_logprob=-0.1)) == DOUBTED


def test_silence_is_no_failure() -> None:
    silence = replace(DOUBTED, no_speech_prob=0.9)
    assert attempts().judge(silence) == silence
    assert silence.silent


def test_what_a_fitted_window_does_badly_is_done_again_in_the_full_one() -> None:
    for bad in (
        LOOP,
        DOUBTED,
        replace(GOOD, compression_ratio=2.2),
        replace(GOOD, last_timestamp=5.0),
        replace(GOOD, ended=False),
        replace(GOOD, text=""),
        replace(DOUBTED, no_speech_prob=0.9),
    ):
        tried = attempts(fitted=True)
        assert tried.judge(bad) is None
        tried.refuse(bad)
        assert (tried.fitted, tried.temperature) == (False, 0.0)


def test_a_text_without_timestamps_may_fit() -> None:
    assert attempts(fitted=True).judge(replace(GOOD, last_timestamp=None))
