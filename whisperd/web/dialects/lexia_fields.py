"""What may be sent to Lexia's gateway, in both generations of its names, and what it asks of the engine.

Speech is taken to be French where neither a language is named nor its detection asked for: that is what
Lexia does, and its clients leave the field out because of it.
"""

import datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from whisperd.jobs.model import JobType, Work
from whisperd.transcript.model import PRIORITIES, Notice
from whisperd.web.fields import Field, FileField, Values, choice, flag, integer, text
from whisperd.web.speech import (
    CONDITION,
    DROP_DOUBTED,
    LANGUAGE,
    LANGUAGES_FIELD,
    MULTILINGUAL,
    candidates,
    hints_of,
    ignored,
    unheard_beside,
)

T = TypeVar("T")

DEFAULT_LANGUAGE: Final = "fr"
_MAX_SPEAKERS: Final = 20
_MAX_METADATA_BYTES: Final = 16 * 1024
_MAX_METADATA_LEVELS: Final = 100
"""How deep it can be read depends on the caller's stack, and it has to be read again out of the store."""
_NOT_SO_DEEP: Final = f"a JSON object of at most {_MAX_METADATA_LEVELS} levels"
_LONGEST: Final = datetime.timedelta(days=365)


def _moment(value: str) -> datetime.timedelta | datetime.datetime:
    try:
        seconds = datetime.timedelta(seconds=float(value))
    except OverflowError:
        raise ValueError(_MOMENT) from None
    except ValueError:
        pass
    else:
        if not datetime.timedelta() < seconds <= _LONGEST:
            raise ValueError(_MOMENT)
        return seconds
    try:
        moment = datetime.datetime.fromisoformat(value)
        return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    except (ValueError, OverflowError):
        raise ValueError(_MOMENT) from None


_MOMENT: Final = "seconds from now, up to a year, or a time such as 2030-01-31T12:00:00Z"


def _object(value: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError):
        raise ValueError("a JSON object") from None
    except RecursionError:
        raise ValueError(_NOT_SO_DEEP) from None
    if _depth(found) > _MAX_METADATA_LEVELS:
        raise ValueError(_NOT_SO_DEEP)
    return found


def _depth(value: dict[str, Any]) -> int:
    """Levels of objects and arrays, this one among them."""
    depth = 0
    level: list[Any] = [value]
    while level:
        depth += 1
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
    return depth


# ---- the fields ----------------------------------------------------------------------------------

AUDIO: Final = FileField(
    name="audio", doc="The recording; its name must end as those of recordings do: `.wav`, `.mp3`, ..."
)
AUDIO_URL: Final = text(
    "audio_url", "Where the recording is, instead of `audio`: http or https. The server fetches it."
)
LANGUAGE_CODE: Final = text(
    "language_code",
    "The language spoken: a code (`en`) or an English name; `auto` detects it. French where there is neither "
    "this nor `language_detection`, `languages[]` or `multilingual`.",
    LANGUAGE.parse,
)
LANGUAGE_DETECTION: Final = flag("language_detection", "Detect the language, where none is named.")
PUNCTUATE: Final = flag("punctuate", "Text has punctuation, whatever this says.", default=True)
FORMAT_TEXT: Final = flag("format_text", "Text has capitals and figures, whatever this says.", default=True)
SPEAKER_LABELS: Final = flag("speaker_labels", "Tell the speakers apart too.")
SPEAKERS_EXPECTED: Final = integer(
    "speakers_expected", "How many people speak, where that is known.", minimum=1, maximum=_MAX_SPEAKERS
)
MIN_SPEAKERS_EXPECTED: Final = integer(
    "min_speakers_expected", "At least so many people speak.", minimum=1, maximum=_MAX_SPEAKERS
)
MAX_SPEAKERS_EXPECTED: Final = integer(
    "max_speakers_expected", "At most so many people speak.", minimum=1, maximum=_MAX_SPEAKERS
)
WORD_TIMESTAMPS: Final = flag("word_timestamps", "Answer with words too.", default=True)
PROMPT: Final = text("prompt", "Text that the recording goes on from: names, style.")
HOTWORDS: Final = text("hotwords", "Words to listen for.")
MODEL: Final = text("model", "One of the server's models instead of its main one.")

WEBHOOK_URL: Final = text("webhook_url", "Told when the job has ended, well or not, in a signed request.")
PRIORITY: Final = choice(
    "priority", "Jobs of a higher one are worked on first.", PRIORITIES[::-1], default="normal"
)
DEADLINE: Final[Field[datetime.timedelta | datetime.datetime | None]] = Field(
    name="deadline",
    doc="When the job fails if it has not ended: seconds from now, or a time in ISO 8601.",
    kind="string",
    parse=_moment,
    default=None,
    schema={},
)
METADATA: Final[Field[dict[str, Any] | None]] = Field(
    name="metadata",
    doc="A JSON object of your own, which the job and its result have too.",
    kind="string",
    parse=_object,
    default=None,
    schema={"contentMediaType": "application/json"},
    max_bytes=_MAX_METADATA_BYTES,
)

_OF_SPEAKERS: Final = (SPEAKERS_EXPECTED, MIN_SPEAKERS_EXPECTED, MAX_SPEAKERS_EXPECTED)
_EARLIER_NAMES: Final[dict[str, Field[Any]]] = {
    "language_code": LANGUAGE,
    "speaker_labels": flag("speaker_diarization", "The earlier name of `speaker_labels`."),
    **{
        field.name: integer(earlier, f"The earlier name of `{field.name}`.", minimum=1, maximum=_MAX_SPEAKERS)
        for field, earlier in zip(_OF_SPEAKERS, ("num_speakers", "min_speakers", "max_speakers"), strict=True)
    },
}


def _with_earlier(*fields: Field[Any]) -> tuple[Field[Any], ...]:
    return (*fields, *(_EARLIER_NAMES[field.name] for field in fields if field.name in _EARLIER_NAMES))


TRANSCRIPTION: Final = _with_earlier(
    LANGUAGE_CODE,
    LANGUAGE_DETECTION,
    LANGUAGES_FIELD,
    MULTILINGUAL,
    PUNCTUATE,
    FORMAT_TEXT,
    SPEAKER_LABELS,
    *_OF_SPEAKERS,
    WORD_TIMESTAMPS,
    PROMPT,
    CONDITION,
    HOTWORDS,
    MODEL,
    DROP_DOUBTED,
)
DIARIZATION: Final = _with_earlier(*_OF_SPEAKERS)
OF_JOBS: Final[tuple[Field[Any], ...]] = (AUDIO_URL, WEBHOOK_URL, PRIORITY, DEADLINE, METADATA)
"""What a job may have beyond what is done with its recording."""


# ---- what they ask for ---------------------------------------------------------------------------


class Asked(Struct, frozen=True, kw_only=True):
    """What is to be done with a recording."""

    type: JobType
    work: Work
    warnings: list[Notice]


def transcription(values: Values, *, known: tuple[Field[Any], ...]) -> Asked:
    """What a transcription is asked for, where these fields are `known`. Raises ParameterError."""
    speakers = _either(values, SPEAKER_LABELS)
    languages, multilingual = candidates(values), values.one(MULTILINGUAL)
    detects = values.one(LANGUAGE_DETECTION) or multilingual or languages
    named = _either(values, LANGUAGE_CODE)
    work = Work(
        language=named or ("auto" if detects else DEFAULT_LANGUAGE),
        languages=languages,
        multilingual=multilingual,
        condition_on_previous_text=values.one(CONDITION),
        drop_doubted=values.one(DROP_DOUBTED),
        words=values.one(WORD_TIMESTAMPS),
        speakers=speakers,
        hints=hints_of(*(_either(values, field) for field in _OF_SPEAKERS)),
        model=values.one(MODEL),
        prompt=values.one(PROMPT),
        hotwords=values.one(HOTWORDS),
    )
    unheard = unheard_beside(values, named)
    unheard += [field for field in (PUNCTUATE, FORMAT_TEXT) if not values.one(field)]
    if not speakers:
        unheard += [field for field in _with_earlier(*_OF_SPEAKERS) if field in values]
    return Asked(
        type="transcription_with_diarization" if speakers else "transcription",
        work=work,
        warnings=ignored(values, known=known, unheard=unheard),
    )


def diarization(values: Values, *, known: tuple[Field[Any], ...]) -> Asked:
    """What a diarization is asked for, where these fields are `known`. Raises ParameterError."""
    return Asked(
        type="diarization",
        work=Work(
            text=False,
            words=False,
            speakers=True,
            hints=hints_of(*(_either(values, field) for field in _OF_SPEAKERS)),
        ),
        warnings=ignored(values, known=known),
    )


def _either(values: Values, field: Field[T]) -> T:
    """The value under the field's name, or under its earlier one."""
    found = values.every(field) or values.every(_EARLIER_NAMES[field.name])
    return found[-1] if found else field.default
