"""Transcripts as text, subtitles and RTTM."""

import re

import pytest

from whisperd.transcript import formats
from whisperd.transcript.model import Segment, Turn, Word

HELLO = Segment(id=0, start=0.0, end=1.5, text=" Hello there.")
BYE = Segment(id=1, start=3661.0015, end=3662.25, text=" Good bye.")
ASKED = Segment(id=0, start=0.0, end=1.0, text=" How are", speaker="SPEAKER_01")
ON = Segment(id=1, start=1.0, end=1.5, text=" you?", speaker="SPEAKER_01")
ANSWERED = Segment(id=2, start=2.0, end=2.5, text=" <Fine> & well", speaker="SPEAKER_00")
BLANK = Segment(id=5, start=1.6, end=1.7, text="  ")


def spoken(text: str, *, word_s: float, gap_s: float = 0.0) -> Segment:
    """A segment whose words follow each other at equal distances."""
    step = word_s + gap_s
    words = [
        Word(f" {word}", number * step, number * step + word_s, 0.9)
        for number, word in enumerate(text.split())
    ]
    return Segment(id=0, start=0.0, end=words[-1].end, text=f" {text}", words=words)


# ---- plain text ----------------------------------------------------------------------------------


def test_text_is_trimmed_and_joined() -> None:
    assert formats.plain([HELLO, BYE]) == "Hello there. Good bye."
    assert formats.plain([]) == ""


def test_text_has_a_line_for_what_each_speaker_says_without_a_break() -> None:
    assert formats.plain([ASKED, ON, BLANK, ANSWERED]) == (
        "SPEAKER_01: How are you?\nSPEAKER_00: <Fine> & well"
    )


# ---- Markdown ------------------------------------------------------------------------------------


def test_markdown_is_one_paragraph_where_speakers_are_not_known() -> None:
    assert formats.markdown([HELLO, BLANK, BYE]) == "# Transcript\n\nHello there. Good bye.\n"
    assert formats.markdown([]) == "# Transcript\n"


def test_markdown_has_a_heading_for_each_change_of_speakers() -> None:
    assert formats.markdown([ASKED, ON, BLANK, ANSWERED]) == (
        "# Transcript\n\n## SPEAKER_01\n\n**[00:00:00]** How are\n\n**[00:00:01]** you?\n\n"
        "## SPEAKER_00\n\n**[00:00:02]** <Fine> & well\n"
    )


def test_markdown_has_a_name_for_who_is_not_known_among_those_who_are() -> None:
    assert "## SPEAKER_UNKNOWN\n\n**[01:01:01]** Good bye." in formats.markdown([ANSWERED, BYE])


# ---- subtitles -----------------------------------------------------------------------------------


def test_srt_is_numbered_with_times_to_the_millisecond() -> None:
    assert formats.srt([HELLO, BYE]) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n2\n01:01:01,002 --> 01:01:02,250\nGood bye.\n"
    )


def test_srt_names_speakers_and_leaves_out_what_is_blank() -> None:
    assert formats.srt([ASKED, BLANK, ANSWERED]) == (
        "1\n00:00:00,000 --> 00:00:01,000\nSPEAKER_01: How are\n\n"
        "2\n00:00:02,000 --> 00:00:02,500\nSPEAKER_00: <Fine> & well\n"
    )


def test_vtt_has_voices_and_escapes() -> None:
    assert formats.vtt([ASKED, ANSWERED]) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v SPEAKER_01>How are\n\n"
        "00:00:02.000 --> 00:00:02.500\n<v SPEAKER_00>&lt;Fine&gt; &amp; well\n"
    )


def test_silence_has_no_cues_but_vtt_keeps_its_header() -> None:
    assert formats.vtt([]) == "WEBVTT\n"
    assert formats.srt([]) == ""


def test_a_text_cannot_break_out_of_its_cue() -> None:
    text = " One\n\n00:00:09.000 --> 00:00:10.000\nTwo"
    sly = Segment(id=0, start=0.0, end=1.0, text=text)
    assert formats.vtt([sly]).count("-->") == 1
    assert len(formats.vtt([sly]).split("\n\n")) == 2
    assert len(formats.srt([sly]).split("\n")) == 4


def test_a_cue_ends_after_it_starts() -> None:
    at_once = Segment(id=0, start=1.0, end=1.0, text=" Hi.")
    assert "00:00:01.000 --> 00:00:01.001" in formats.vtt([at_once])


def test_hours_go_past_two_digits() -> None:
    late = Segment(id=0, start=360_000.0, end=360_001.0, text=" Late.")
    assert "100:00:00,000 --> 100:00:01,000" in formats.srt([late])


@pytest.mark.parametrize(
    "segment",
    [
        spoken("a word of five " * 40, word_s=0.1),  # much said at once
        spoken("slow " * 20, word_s=0.5, gap_s=1.0),  # little said in a long time
        spoken("both " * 60, word_s=1.0, gap_s=1.5),
    ],
)
def test_a_long_segment_becomes_cues_that_can_be_read(segment: Segment) -> None:
    cues = list(formats.cues([segment]))
    assert len(cues) > 1
    assert " ".join(cue.text for cue in cues) == segment.text.strip()
    for cue in cues:
        assert len(cue.text) <= formats.MAX_CUE_CHARACTERS
        assert cue.end - cue.start <= formats.MAX_CUE_S
    assert [cue.start for cue in cues] == sorted(cue.start for cue in cues)


def test_a_cue_speaks_with_its_segments_voice_after_a_split() -> None:
    long = spoken("word " * 40, word_s=0.3)
    labelled = Segment(
        id=0, start=long.start, end=long.end, text=long.text, words=long.words, speaker="SPEAKER_02"
    )
    assert {cue.speaker for cue in formats.cues([labelled])} == {"SPEAKER_02"}


def test_a_long_segment_without_words_stays_whole() -> None:
    (cue,) = formats.cues([Segment(id=0, start=0.0, end=30.0, text=" word" * 100)])
    assert (cue.start, cue.end) == (0.0, 30.0)


def test_a_word_that_is_too_long_is_a_cue_of_its_own() -> None:
    words = [Word(" so", 0.0, 0.2, 0.9), Word(" " + "o" * 100, 0.2, 9.0, 0.9), Word(" on", 9.0, 9.2, 0.9)]
    long = Segment(id=0, start=0.0, end=9.2, text="".join(word.text for word in words), words=words)
    assert [cue.text for cue in formats.cues([long])] == ["so", "o" * 100, "on"]


# ---- RTTM ----------------------------------------------------------------------------------------


def test_rttm_has_ten_fields_for_each_turn() -> None:
    turns = [Turn(0.0, 1.2345, "SPEAKER_00"), Turn(1.0, 2.5, "SPEAKER_01")]
    assert formats.rttm(turns, "meeting") == (
        "SPEAKER meeting 1 0.000 1.234 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
        "SPEAKER meeting 1 1.000 1.500 <NA> <NA> SPEAKER_01 <NA> <NA>\n"
    )


@pytest.mark.parametrize(
    ("uri", "name"), [("my call\t(2)", "my_call_(2)"), ("", "audio"), (" \n", "audio"), ("a\nb", "a_b")]
)
def test_rttm_names_the_recording_without_spaces(uri: str, name: str) -> None:
    line = formats.rttm([Turn(0.0, 1.0, "A")], uri)
    assert re.fullmatch(r"SPEAKER \S+ 1 0\.000 1\.000 <NA> <NA> A <NA> <NA>\n", line)
    assert line.split()[1] == name
