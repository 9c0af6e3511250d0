import re
from itertools import chain
from pathlib import PurePosixPath

import pytest

from whisperd.errors import UnknownModel
from whisperd.models import catalogue
from whisperd.models.sources import File, HubSource, Model, Source
from whisperd.transcript.pairs import pair_of

EVERY_SOURCE = [
    pytest.param(model, source, id=f"{model.name}-{number}")
    for model in catalogue.CATALOGUE
    for number, source in enumerate(model.sources)
]


def paths(files: tuple[File, ...]) -> set[str]:
    return {file.path for file in files}


@pytest.mark.parametrize(("model", "source"), EVERY_SOURCE)
def test_every_file_is_pinned_and_stays_in_the_models_directory(model: Model, source: Source) -> None:
    assert len(paths(source.files)) == len(source.files), model.name
    for file in source.files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.size > 0
        assert not PurePosixPath(file.path).is_absolute()
        assert ".." not in PurePosixPath(file.path).parts


@pytest.mark.parametrize(("model", "source"), EVERY_SOURCE)
def test_every_source_gives_all_that_its_kind_of_model_is_loaded_from(model: Model, source: Source) -> None:
    files = paths(source.files)
    if model.kind == "whisper":
        assert files >= {"model.bin", "config.json", "tokenizer.json"}
        assert files & {"vocabulary.json", "vocabulary.txt"}
    elif model.kind == "translation":
        assert files > {"model.bin", "config.json", "source.spm", "target.spm"}
        assert files & {"shared_vocabulary.json", "shared_vocabulary.txt"}
    elif model.name == "diarization":
        assert files == {"segmentation/pytorch_model.bin", "embedding/campplus_cn_en_common.pt"}
    else:
        assert "config.yaml" in files


def test_no_two_files_of_one_path_and_size_have_different_checksums() -> None:
    seen: dict[tuple[str, int], str] = {}
    for model in catalogue.CATALOGUE:
        for file in chain.from_iterable(source.files for source in model.sources):
            if file.path != "model.bin":
                assert seen.setdefault((file.path, file.size), file.sha256) == file.sha256


def test_whisper_models_come_from_the_repositories_that_faster_whisper_names() -> None:
    utils = pytest.importorskip("faster_whisper.utils")
    for model in catalogue.CATALOGUE:
        if model.kind == "whisper":
            repositories = [source.repository for source in model.sources if isinstance(source, HubSource)]
            assert repositories == [utils._MODELS[model.name]]
            for alias in model.aliases:
                assert utils._MODELS[alias] == utils._MODELS[model.name]


def test_translation_goes_both_ways_and_each_model_is_named_for_its_pair() -> None:
    models = [model for model in catalogue.CATALOGUE if model.kind == "translation"]
    pairs = {pair_of(model.name) for model in models}
    assert pairs == {pair for other in ("de", "es", "fr") for pair in (("en", other), (other, "en"))}
    assert catalogue.get("opus-mt-en-fr").languages == "English to French"


def test_both_directions_of_a_pair_share_their_sentencepiece_models() -> None:
    def pin(model: str, side: str) -> str:
        (found,) = {
            file.sha256
            for source in catalogue.get(model).sources
            for file in source.files
            if file.path == f"{side}.spm"
        }
        return found

    for other in ("de", "es", "fr"):
        assert pin(f"opus-mt-en-{other}", "source") == pin(f"opus-mt-{other}-en", "target")
        assert pin(f"opus-mt-en-{other}", "target") == pin(f"opus-mt-{other}-en", "source")


def test_repositories_are_pinned_to_a_commit() -> None:
    for model in catalogue.CATALOGUE:
        for source in model.sources:
            if isinstance(source, HubSource):
                assert re.fullmatch("[0-9a-f]{40}", source.revision)


def test_names_and_aliases_are_told_apart_and_names_are_directories() -> None:
    names = [name for model in catalogue.CATALOGUE for name in (model.name, *model.aliases)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", model.name) for model in catalogue.CATALOGUE)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("turbo", "large-v3-turbo"),
        ("large", "large-v3"),
        ("pyannote/speaker-diarization-community-1", "community-1"),
        ("base", "base"),
        ("somebodys-own", "somebodys-own"),
    ],
)
def test_an_alias_stands_for_the_catalogues_name(alias: str, name: str) -> None:
    assert catalogue.resolve_alias(alias) == name


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match=r"'huge'.*tiny\.en.*diarization"):
        catalogue.get("huge")


def test_the_weights_are_most_of_a_model() -> None:
    for model in catalogue.CATALOGUE:
        assert 0.9 * model.size_bytes < model.weights_bytes <= model.size_bytes


def test_whisper_models_that_were_not_trained_to_translate_are_told_apart() -> None:
    whisper = {model.name: model.translates for model in catalogue.CATALOGUE if model.kind == "whisper"}
    assert {name for name, translates in whisper.items() if translates} == {
        "tiny", "base", "small", "medium", "large-v2", "large-v3",
    }  # fmt: skip
    assert not catalogue.get("turbo").translates


def test_only_the_gated_pipeline_needs_an_account() -> None:
    assert [model.name for model in catalogue.CATALOGUE if model.gated] == ["community-1"]
