"""Marian models behind the worker's interface: small ones that were trained for this."""

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import marian
import numpy as np
import pytest
from conftest import until
from pulls import Listener

from whisperd.config.live import Live
from whisperd.engine import Cancelled, translate
from whisperd.engine.translate import Translator
from whisperd.errors import OutOfMemory, StartError
from whisperd.models.add import add
from whisperd.models.store import Store
from whisperd.protocol import Translated, TranslateJob, TranslateSetup
from whisperd.transcript.model import Segment
from whisperd.worker import Worker


def setup(directory: Path, model: str | None = None) -> TranslateSetup:
    return TranslateSetup(
        model=model or directory.name,
        model_dir=str(directory),
        device="cpu",
        device_index=0,
        compute_type="float32",
        threads=1,
    )


@pytest.fixture(scope="module")
def french(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model from English to French, installed."""
    return marian.install(tmp_path_factory.mktemp("state"), "en", "fr")


@pytest.fixture(scope="module")
def translator(french: Path) -> Translator:
    return Translator(setup(french))


def run(translator: Translator, *texts: str) -> list[str]:
    return translator.run(TranslateJob(list(texts)), lambda *_event: None, lambda: False).texts


def some_sentences(count: int) -> list[str]:
    chance = random.Random(7)
    made = (marian.sentence(chance, "en") for _ in range(10 * count))
    return [sentence for sentence in made if sentence[0].isupper() and sentence[-1] in ".?"][:count]


def test_a_sentence_is_translated(translator: Translator) -> None:
    assert run(translator, "The small cat eats here.") == ["Le petit chat mange ici."]


def test_each_text_is_translated_by_itself_and_in_its_place(translator: Translator) -> None:
    texts = ["The dog sleeps.", "", "Hello", "The meeting starts here. And the cat eats?", " \n "]
    assert run(translator, *texts) == [
        "Le chien dort.",
        "",
        "Bonjour",
        "Le réunion commence ici. Et le chat mange?",
        "\n",
    ]


def test_line_breaks_stay(translator: Translator) -> None:
    assert run(translator, "Hello world.\n\nThe cat sleeps. The dog eats.\r\nHello") == [
        "Bonjour monde.\n\nLe chat dort. Le chien mange.\nBonjour"
    ]


def test_of_a_long_text_nothing_is_lost(translator: Translator) -> None:
    found = some_sentences(150)
    alone = [run(translator, sentence)[0] for sentence in found]
    assert run(translator, " ".join(found)) == [" ".join(alone)]


def test_a_sentence_that_is_too_long_is_translated_in_parts(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translate, "_SENTENCE_PIECES", marian.LONGEST)
    text = "the red dog eats the small cat and the cat eats the dog and the world sleeps here and eats noon"
    assert run(translator, text) == [marian.word_for_word(text, "en", "fr")]


def test_what_the_model_has_no_word_for_leaves_no_trace(translator: Translator) -> None:
    assert run(translator, "Hello 😀 world.") == ["Bonjour monde."]


def test_one_model_of_several_targets_is_asked_for_the_one_in_its_name(tmp_path: Path) -> None:
    marian.publish(tmp_path / "published", "en", "fr", "es")
    store = Store(tmp_path)
    for name in ("opus-mt-en-fr", "opus-mt-en-es", "opus-mt-en-it"):
        add(name, tmp_path / "published", store, Listener())
    french, spanish, italian = (setup(store.root / f"opus-mt-en-{target}") for target in ("fr", "es", "it"))
    assert run(Translator(french), "The cat sleeps.") == ["Le chat dort."]
    assert run(Translator(spanish), "The cat sleeps.") == ["El gato duerme."]
    with pytest.raises(StartError, match="opus-mt-en-it does not translate to it; it does to es, fr"):
        Translator(italian)


def test_a_model_that_repeats_itself_for_ever_is_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marian.publish(tmp_path / "published", "en", "fr")
    weights = dict(np.load(tmp_path / "published" / "opus.npz"))
    weights["decoder_ff_logit_out_b"][0, 0] = -1e4  # the end of the sentence
    np.savez(tmp_path / "published" / "opus.npz", **weights)
    add("opus-mt-en-fr", tmp_path / "published", Store(tmp_path), Listener())
    endless = Translator(setup(tmp_path / "models" / "opus-mt-en-fr"))
    caplog.clear()
    (text,) = run(endless, "Hello world.")
    assert 0 < len(text.split()) < 100
    assert caplog.messages == ["a translation went on for 25 pieces and was ended there"]


def test_a_model_without_its_tokenizers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"the model opus-mt-en-fr lacks source\.spm"):
        Translator(setup(tmp_path, "opus-mt-en-fr"))


def test_every_batch_is_progress_and_a_cancelled_job_ends_after_one(translator: Translator) -> None:
    batches = 0

    def progress(_position_s: float, _segment: Segment | None = None, /) -> None:
        nonlocal batches
        batches += 1

    job = TranslateJob(some_sentences(100))
    translator.run(job, progress, lambda: False)
    assert batches == 4

    batches = 0
    with pytest.raises(Cancelled):
        translator.run(job, progress, lambda: batches == 1)
    assert batches == 1


class Crowded:
    """A model on a device that has room for so many sentences at once."""

    def __init__(self, model: Any, room: int) -> None:
        self._model = model
        self._room = room
        self.reloaded = 0

    def translate_batch(self, batch: Sequence[list[str]], **options: Any) -> Any:
        if len(batch) > self._room:
            raise RuntimeError("CUDA failed with error out of memory")
        return self._model.translate_batch(batch, **options)

    def unload_model(self) -> None:
        self._model.unload_model()

    def load_model(self) -> None:
        self._model.load_model()
        self.reloaded += 1


def test_memory_that_is_short_costs_a_second_try_with_half_as_much(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = some_sentences(20)
    with_room = run(translator, *texts)
    crowded = Crowded(translator._model, room=10)
    monkeypatch.setattr(translator, "_model", crowded)
    assert run(translator, *texts) == with_room
    assert crowded.reloaded == 1


def test_memory_that_stays_short_fails_the_job(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translator, "_model", Crowded(translator._model, room=4))
    with pytest.raises(OutOfMemory, match="not enough memory on the cpu for this text"):
        run(translator, *some_sentences(20))


async def test_a_worker_translates(french: Path, live: Live) -> None:
    worker = Worker("translate", setup(french), live=live, environment=dict(os.environ))
    supervisor = asyncio.create_task(worker.supervise())
    try:
        await until(worker.ready.is_set, timeout_s=60)
        result = await worker.call(TranslateJob(["Hello world."])).result
        assert result == Translated(["Bonjour monde."])
    finally:
        supervisor.cancel()
        await asyncio.wait([supervisor])
