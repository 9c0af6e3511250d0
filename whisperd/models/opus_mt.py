"""The translation models of the catalogue: OPUS-MT's, each for one pair of languages.

They are conversions to CTranslate2, in float16 where those are pinned, and in int8.
"""

from typing import Final

from whisperd.models.sources import File, HubSource, Model, Pin
from whisperd.transcript.pairs import Pair, describe, model_name

_SENTENCEPIECE: Final[dict[Pair, Pin]] = {
    ("en", "de"): (768_489, "678f2a1177d8389f67b66299762dcc4fc567e89b07e212ba91b0c56daecf47ce"),
    ("de", "en"): (796_845, "bbd1f495eea99c8e21ae086d9146e0fa7b096c3dfdd9ba07ab8b631889df5c9b"),
    ("en", "es"): (801_636, "4dd547c24816a335e7b0b2e63376a8f1b3cbfc671eda5ab808dd44fdadaa8791"),
    ("es", "en"): (825_924, "e236ee6d866b635c0142114f8647f39831f9d92534aa2aad75c942f6a78ad0e3"),
    ("en", "fr"): (778_395, "173e9f493a668fe396d599e28d414a201193094e6ffd7a4678e5aab0f6d3d838"),
    ("fr", "en"): (802_397, "78d0e717c77053f1c4b856d8661d9cb87c64f083a35418c087b9146300e4f585"),
}
"""Of the first language of a pair; both directions have the same two."""

_FLOAT16_CONFIG: Final = (159, "0c2f6fa2057c7264d052fb4a62ba3476eeae70487acddfa8e779a53a00cbf44c")
_INT8_CONFIG: Final = (223, "8f6496adfc930cbfecbe8281112197705c488fab47d34b4829b06d7f478909af")

# The vocabulary is that of both languages, and so of both directions.
_DE_INT8: Final = (993_828, "fa4c8d666c582ad39892a2ae5d4ded1b0ddde4b49dc784a7fcbd73940f9fa13e")
_ES_INT8: Final = (1_276_136, "040e48c9d00734f48506e052695837720bd1f6aa01c70636cde83038362baf19")
_FR_INT8: Final = (1_052_697, "a157eb51a42817dd1ae4bc46cecf66e591ab32641df936da292bd09f2728631b")
_ES_FLOAT16: Final = (666_435, "77aee99211b7b8e569e0fb5b95dac01aba9f31bca2d1380b1fc6050797825ec6")
_FR_FLOAT16: Final = (556_777, "e87446c025bbe57cc4f9ef90fa6e28ab303a2e31479b7355c2a2d3a6a3a43a0a")


def _files(pair: Pair, weights: Pin, config: Pin, vocabulary: File) -> tuple[File, ...]:
    source, target = pair
    return (
        File("model.bin", *weights),
        File("config.json", *config),
        vocabulary,
        File("source.spm", *_SENTENCEPIECE[source, target]),
        File("target.spm", *_SENTENCEPIECE[target, source]),
    )


def _int8(pair: Pair, revision: str, weights: Pin, vocabulary: Pin) -> HubSource:
    repository = f"frisket-models/{model_name(pair)}-ct2"
    files = _files(pair, weights, _INT8_CONFIG, File("shared_vocabulary.json", *vocabulary))
    return HubSource(repository, revision, files)


def _float16(pair: Pair, revision: str, weights: Pin, vocabulary: Pin) -> HubSource:
    repository = f"michaelfeil/ct2fast-{model_name(pair)}"
    files = _files(pair, weights, _FLOAT16_CONFIG, File("shared_vocabulary.txt", *vocabulary))
    return HubSource(repository, revision, files)


def _model(pair: Pair, *sources: HubSource, licence: str = "Apache-2.0") -> Model:
    return Model(
        name=model_name(pair),
        kind="translation",
        languages=describe(pair),
        licence=licence,
        sources=sources,
    )


MODELS: Final[tuple[Model, ...]] = (
    _model(
        ("en", "de"),
        _int8(
            ("en", "de"),
            "670414c0e4c7a87b896f2f5d7e9dbd149ebb748b",
            (75_979_635, "3cad348e65aa400a0fce83b2b89a876030092e108ebc5a824ac1def6c76957b2"),
            _DE_INT8,
        ),
        licence="CC-BY-4.0",
    ),
    _model(
        ("de", "en"),
        _int8(
            ("de", "en"),
            "5aa6c0660768e7e8c656814eb5dbe7a1b1f482c5",
            (75_979_635, "399ce16d36b721cd166fe973b31c1f1195b92af200665eccd9a7fc62263e02ec"),
            _DE_INT8,
        ),
    ),
    _model(
        ("en", "es"),
        _float16(
            ("en", "es"),
            "76ec296588e2234f9b7dfad5254219a0f5ecb7af",
            (155_502_501, "36cd9bcb181fc6d5832deeaf770ce183ff4edbbc5e4fe0f86cec92da4379f3b7"),
            _ES_FLOAT16,
        ),
        _int8(
            ("en", "es"),
            "010363dc108c7a1ddf2a57880f1592b0584bce8c",
            (79_567_635, "30c5c2de08329c61860777fbe471e2dd413f64adbde543b2848b5ac3b5d6f865"),
            _ES_INT8,
        ),
    ),
    _model(
        ("es", "en"),
        _float16(
            ("es", "en"),
            "437f5ffc6c8544943c685ea405650e0d17cf6098",
            (155_502_501, "3a3b91dcb396ee7b682554e7d9f501909385c48b478a691bfe9bf9e3e32d3656"),
            _ES_FLOAT16,
        ),
        _int8(
            ("es", "en"),
            "21fadee65fdf7c7ab92e49a9deeee20b202a9855",
            (79_567_635, "44c5adc2c680f27c14c991e5ab7f74f38b41597153f7123bc8f6455f09a3b38b"),
            _ES_INT8,
        ),
    ),
    _model(
        ("en", "fr"),
        _float16(
            ("en", "fr"),
            "55bcef18761227161433d86b81bbbcd9d813b429",
            (149_872_839, "636d926880a6e6e4b773403a5991b50d4dfdfabe49a230e148676a05e99f2bec"),
            _FR_FLOAT16,
        ),
        _int8(
            ("en", "fr"),
            "01fd244b378d48480d529abc986452f9682aa064",
            (76_714_395, "236b63e3029611a328693d704067ebdd75b800e5b3011cdec3dad4287fd29a36"),
            _FR_INT8,
        ),
    ),
    _model(
        ("fr", "en"),
        _float16(
            ("fr", "en"),
            "cb3b2d680bf35591a508d8479e2c99c44e281ef3",
            (149_872_839, "c32de81be5de6b9a5d03298173c724f02249371fb7ed6b6fd1ee7501578fe7fc"),
            _FR_FLOAT16,
        ),
        _int8(
            ("fr", "en"),
            "46c82a1311938f74a08085264763ece40da4f72c",
            (76_714_395, "8c070c110a94dca4693be7c93ecbfdd09bce99eefbf902b1e7b45cbea2a10fd4"),
            _FR_INT8,
        ),
    ),
)
