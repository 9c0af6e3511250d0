"""A transcript as text: plain, Markdown, SubRip, WebVTT; and turns as RTTM."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from whisperd.transcript.model import Segment, Turn, Word

MAX_CUE_CHARACTERS: Final = 84
"""Two lines of a subtitle."""
MAX_CUE_S: Final = 7.0

_VTT_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Cue(Struct, frozen=True):
    """What is on the screen at one time."""

    start: float
    end: float
    text: str
    speaker: str | None


def plain(segments: Sequence[Segment]) -> str:
    """The text, trimmed; where speakers are known, a line for each `SPEAKER: ...`."""
    if not any(segment.speaker for segment in segments):
        return "".join(segment.text for segment in segments).strip()
    lines = []
    for speaker, run in itertools.groupby(segments, key=lambda segment: segment.speaker):
        if text := "".join(segment.text for segment in run).strip():
            lines.append(_spoken(text, speaker))
    return "\n".join(lines)


def srt(segments: Iterable[Segment]) -> str:
    """SubRip: numbered cues, `SPEAKER: ` before the text where speakers are known."""
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_spoken(cue.text, cue.speaker)}\n"
        for number, cue in enumerate(cues(segments), start=1)
    )


def vtt(segments: Iterable[Segment]) -> str:
    """WebVTT, with the speaker as the cue's voice. Silence has the header alone."""
    blocks = ["WEBVTT\n"]
    for cue in cues(segments):
        text = cue.text.translate(_VTT_ESCAPES)
        if cue.speaker:
            text = f"<v {cue.speaker.translate(_VTT_ESCAPES)}>{text}"
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def markdown(segments: Sequence[Segment]) -> str:
    """Markdown: where speakers are known a heading for each run of one, with the time before each segment;
    else one paragraph.
    """
    spoken = [(segment, " ".join(segment.text.split())) for segment in segments]
    if not any(segment.speaker for segment, _ in spoken):
        blocks = [" ".join(text for _, text in spoken if text)]
    else:
        blocks, speaker = [], None
        for segment, text in spoken:
            if text and segment.speaker != speaker:
                speaker = segment.speaker
                blocks.append(f"## {speaker or 'SPEAKER_UNKNOWN'}")
            if text:
                blocks.append(f"**[{_clock(segment.start, '.')[:-4]}]** {text}")
    return "\n\n".join(["# Transcript", *filter(None, blocks)]) + "\n"


def rttm(turns: Iterable[Turn], uri: str) -> str:
    """NIST's Rich Transcription Time Marked: one SPEAKER line for each turn, in seconds."""
    name = re.sub(r"\s+", "_", uri.strip()) or "audio"
    return "".join(
        f"SPEAKER {name} 1 {turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> {turn.speaker} <NA> <NA>\n"
        for turn in turns
    )


def cues(segments: Iterable[Segment]) -> Iterator[Cue]:
    """Segments with text; those too long to read at once are split between words, where words are known."""
    for segment in segments:
        too_long = len(segment.text) > MAX_CUE_CHARACTERS or segment.end - segment.start > MAX_CUE_S
        runs = list(_readable(segment.words)) if too_long else []
        if len(runs) > 1:
            for run in runs:
                text = "".join(word.text for word in run)
                yield from _cue(run[0].start, run[-1].end, text, segment.speaker)
        else:
            yield from _cue(segment.start, segment.end, segment.text, segment.speaker)


def _readable(words: Iterable[Word]) -> Iterator[list[Word]]:
    """Runs of words that fit a cue; a single word that doesn't is a run of its own."""
    run: list[Word] = []
    length = 0
    for word in words:
        if run and (length + len(word.text) > MAX_CUE_CHARACTERS or word.end - run[0].start > MAX_CUE_S):
            yield run
            run, length = [], 0
        run.append(word)
        length += len(word.text)
    if run:
        yield run


def _cue(start: float, end: float, text: str, speaker: str | None) -> Iterator[Cue]:
    # An empty line would end the cue, and both formats want the end after the start.
    if words := " ".join(text.split()):
        yield Cue(start, max(end, start + 0.001), words, speaker)


def _spoken(text: str, speaker: str | None) -> str:
    return f"{speaker}: {text}" if speaker else text


def _clock(seconds: float, separator: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{separator}{milliseconds:03}"
