"""What callers may ask for, by the models that are installed and configured."""

from pathlib import Path

import pytest
from conftest import changed

from whisperd.config.live import Live
from whisperd.errors import ParameterError, UnknownModel
from whisperd.models.store import Store
from whisperd.offer import Offer, translates
from whisperd.scheduler import Role
from whisperd.transcript.model import Request


@pytest.fixture
def store(live: Live) -> Store:
    """With a few models, as far as their names go."""
    store = Store(live.current.paths.state)
    for name in ("base", "tiny.en", "large-v3-turbo", "diarization", "opus-mt-en-fr", "opus-mt-fr-en"):
        (store.root / name).mkdir(parents=True)
    brought = store.root / "my-own"
    brought.mkdir()
    for file in ("model.bin", "tokenizer.json"):
        (brought / file).touch()
    return store


def wanting(**what: object) -> Request:
    return Request(audio=Path(), **what)  # type: ignore[arg-type]


def offer(live: Live, store: Store, model: str = "base", device: str = "cpu") -> Offer:
    return Offer(live, store, model, device)


def test_every_whisper_model_that_is_installed_may_be_named(live: Live, store: Store) -> None:
    assert offer(live, store, "tiny.en").models() == ("tiny.en", "base", "large-v3-turbo", "my-own")


def test_a_list_in_the_configuration_is_all_that_may_be_named(live: Live, store: Store) -> None:
    live.current = changed(live.current, "transcribe", models=("small", "turbo", "base"))
    assert offer(live, store).models() == ("base", "small", "large-v3-turbo")
    with pytest.raises(UnknownModel, match="there are: base, small, large-v3-turbo"):
        offer(live, store).transcription(wanting(model="tiny.en"))
    with pytest.raises(UnknownModel, match="whisperd models pull small"):
        offer(live, store).transcription(wanting(model="small"))


def test_the_main_model_has_its_worker_whatever_it_is_called(live: Live, store: Store) -> None:
    main = offer(live, store, "large-v3-turbo")
    for name in (None, "large-v3-turbo", "turbo"):
        assert main.transcription(wanting(model=name)) == Role("transcribe")
    assert main.transcription(wanting(model="base")) == Role("transcribe", "base")


def test_the_cpu_is_another_place_only_where_there_is_a_gpu(live: Live, store: Store) -> None:
    assert offer(live, store).transcription(wanting(device="cpu")) == Role("transcribe")
    on_card = offer(live, store, device="cuda:0")
    assert on_card.transcription(wanting(device="cpu")) == Role("transcribe", "base", "cpu")


def test_speech_is_translated_by_a_model_that_was_trained_to(live: Live, store: Store) -> None:
    request = wanting(task="translate")
    assert offer(live, store).transcription(request) == Role("transcribe")
    turbo = offer(live, store, "large-v3-turbo")
    with pytest.raises(ParameterError, match=r"transcribe\.translate_model"):
        turbo.transcription(request)
    live.current = changed(live.current, "transcribe", translate_model="base")
    assert turbo.transcription(request) == Role("transcribe", "base")
    live.current = changed(live.current, "transcribe", translate_model="medium")
    with pytest.raises(ParameterError, match="whisperd models pull medium"):
        turbo.transcription(request)


@pytest.mark.parametrize("model", ["base", "large-v3", "/models/mine"])
def test_models_of_many_languages_translate(model: str) -> None:
    assert translates(model)


@pytest.mark.parametrize("model", ["tiny.en", "turbo", "distil-large-v3", "/models/mine-turbo"])
def test_models_that_were_trained_on_transcription_alone_do_not(model: str) -> None:
    assert not translates(model)


def test_text_is_translated_between_the_languages_of_installed_pairs(live: Live, store: Store) -> None:
    assert offer(live, store).translation("en", "fr") == Role("translate", "opus-mt-en-fr")
    with pytest.raises(ParameterError, match="'en' to 'de'; installed are: en to fr, fr to en"):
        offer(live, store).translation("en", "de")
