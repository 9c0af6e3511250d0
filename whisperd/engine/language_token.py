"""The token in front of a sentence that tells a model of several target languages which one is meant.

Such a model has a token for each, as `>>fr<<` or `>>fra<<`, with a script or a region for some
(`>>cmn_Hans<<`, `>>pt_br<<`). One of a single target language has none.
"""

import re
from collections.abc import Sequence
from typing import Final

from whisperd.errors import StartError

_TOKEN: Final = re.compile(r">>([a-zA-Z]+)(?:_[a-zA-Z]+)?<<")

_ISO_639_3: Final = {
    "af": "afr", "am": "amh", "ar": "ara", "as": "asm", "az": "aze", "ba": "bak", "be": "bel", "bg": "bul",
    "bn": "ben", "bo": "bod", "br": "bre", "bs": "bos", "ca": "cat", "cs": "ces", "cy": "cym", "da": "dan",
    "de": "deu", "el": "ell", "en": "eng", "es": "spa", "et": "est", "eu": "eus", "fa": "pes", "fi": "fin",
    "fo": "fao", "fr": "fra", "gl": "glg", "gu": "guj", "ha": "hau", "he": "heb", "hi": "hin", "hr": "hrv",
    "ht": "hat", "hu": "hun", "hy": "hye", "id": "ind", "is": "isl", "it": "ita", "ja": "jpn", "ka": "kat",
    "kk": "kaz", "km": "khm", "kn": "kan", "ko": "kor", "la": "lat", "lb": "ltz", "ln": "lin", "lo": "lao",
    "lt": "lit", "lv": "lav", "mg": "mlg", "mi": "mri", "mk": "mkd", "ml": "mal", "mn": "mon", "mr": "mar",
    "ms": "zsm", "mt": "mlt", "my": "mya", "ne": "nep", "nl": "nld", "nn": "nno", "no": "nob", "oc": "oci",
    "pa": "pan", "pl": "pol", "ps": "pus", "pt": "por", "ro": "ron", "ru": "rus", "sa": "san", "sd": "snd",
    "si": "sin", "sk": "slk", "sl": "slv", "sn": "sna", "so": "som", "sq": "sqi", "sr": "srp", "su": "sun",
    "sv": "swe", "sw": "swh", "ta": "tam", "te": "tel", "tg": "tgk", "th": "tha", "tk": "tuk", "tl": "tgl",
    "tr": "tur", "tt": "tat", "uk": "ukr", "ur": "urd", "uz": "uzb", "vi": "vie", "yi": "yid", "yo": "yor",
    "zh": "cmn",
}  # fmt: skip
"""Where OPUS-MT means one language of several by a code, that one's."""


def language_token(model: str, vocabulary: Sequence[str], target: str | None) -> str | None:
    """The token for `target`, None where the vocabulary has none for any language.

    Raises StartError for a model whose tokens are all for others.
    """
    tokens = {token: match[1] for token in vocabulary if (match := _TOKEN.fullmatch(token))}
    if not tokens:
        return None
    wanted = {target, _ISO_639_3.get(target or "")}
    found = next((token for token, language in tokens.items() if language in wanted), None)
    if found is None:
        known = ", ".join(sorted(set(tokens.values())))
        raise StartError(f"the model {model} does not translate to {target}; it does to {known}")
    return found
