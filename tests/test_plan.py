"""What is settled before the first process starts."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import changed

from whisperd.config.schema import Config
from whisperd.cuda.facts import Device, Facts, Obstacle
from whisperd.errors import StartError
from whisperd.plan import Plan, plan
from whisperd.protocol import DecodeSetup, DiarizeSetup, TranscribeSetup, TranslateSetup
from whisperd.scheduler import Role

NO_GPU = Facts(obstacle=Obstacle("no card", "Buy one"))
CARD = Device(
    index=0,
    name="NVIDIA H200",
    capability=(9, 0),
    total_bytes=140 * 10**9,
    free_bytes=139 * 10**9,
    compute_types=frozenset({"float16", "int8_float16", "float32", "int8"}),
)
GPU = Facts(devices=(CARD,), driver="580.65", cuda=(13, 0), torch_cuda="12.8")
GPUS = replace(GPU, devices=(CARD, replace(CARD, index=1, name="NVIDIA H100")))


def planned(config: Config, facts: Facts = NO_GPU) -> Plan:
    return plan(config, {"PATH": "/usr/bin"}, facts, cores=8)


@pytest.fixture
def by_hand(config: Config, tmp_path: Path) -> Config:
    """Models in directories of the user's own."""
    for name in ("whisper", "pipeline"):
        (tmp_path / name).mkdir()
    config = changed(config, "transcribe", model=str(tmp_path / "whisper"))
    return changed(config, "diarize", model=str(tmp_path / "pipeline"))


def test_a_cpu_gets_a_model_and_an_arithmetic_that_suit_it(by_hand: Config) -> None:
    made = planned(by_hand)
    assert [worker.kind for worker in made.workers] == ["decode", "transcribe", "diarize"]
    decode, transcribe, diarize = (worker.setup for worker in made.workers)
    assert isinstance(decode, DecodeSetup)
    assert isinstance(transcribe, TranscribeSetup)
    assert isinstance(diarize, DiarizeSetup)
    assert (transcribe.device, transcribe.compute_type) == ("cpu", "int8")
    assert (transcribe.concurrency, transcribe.threads) == (32, 1)
    assert (transcribe.batches, transcribe.batch_size) == (8, 4)
    assert diarize.threads == 8
    assert made.serving.device == "cpu"
    assert [note.code for note in made.serving.notes] == ["cpu_only"]


def test_a_gpu_is_used_by_both_engines(by_hand: Config) -> None:
    made = planned(by_hand, GPU)
    _, transcribe, diarize = (worker.setup for worker in made.workers)
    assert isinstance(transcribe, TranscribeSetup)
    assert isinstance(diarize, DiarizeSetup)
    assert (made.serving.device, transcribe.compute_type) == ("cuda:0", "float16")
    assert (transcribe.device, transcribe.device_index) == ("cuda", 0)
    assert (diarize.device, diarize.device_index, diarize.threads) == ("cuda", 0, 1)
    assert made.serving.device_names == {"cuda:0": "NVIDIA H200"}
    assert made.serving.notes == ()
    assert made.workers[1].slots == 32
    assert isinstance(transcribe := made.workers[1].setup, TranscribeSetup)
    assert (transcribe.batches, transcribe.batch_size) == (1, 16)
    assert "LD_LIBRARY_PATH" in made.workers[1].environment
    assert "LD_LIBRARY_PATH" not in made.workers[0].environment


def test_each_card_gets_workers_of_its_own(by_hand: Config, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made = planned(changed(by_hand, "transcribe", device="cuda:all"), GPUS)
    assert [
        (worker.kind, worker.setup.device_index)
        for worker in made.workers
        if isinstance(worker.setup, TranscribeSetup | DiarizeSetup)
    ] == [("transcribe", 0), ("transcribe", 1), ("diarize", 0), ("diarize", 1)]
    assert made.serving.device == "cuda:0,cuda:1"
    assert made.serving.device_names == {"cuda:0": "NVIDIA H200", "cuda:1": "NVIDIA H100"}
    others = made.on_demand(Role("transcribe", str(tmp_path / "other")))
    assert [getattr(worker.setup, "device_index", None) for worker in others] == [0, 1]
    assert len(made.on_demand(Role("transcribe", device="cpu"))) == 1


def test_a_larger_model_is_taken_for_slower_and_a_card_for_faster(by_hand: Config) -> None:
    def speed(weights: int, facts: Facts = NO_GPU) -> float:
        model = by_hand.paths.state / "models" / f"of-{weights}"
        model.mkdir(parents=True, exist_ok=True)
        with (model / "model.bin").open("wb") as file:
            file.truncate(weights)
        (worker,) = planned(by_hand, facts).on_demand(Role("transcribe", str(model)))
        return worker.speed

    assert speed(3 * 10**9) < speed(10**9) < speed(10**9, GPU)


def test_each_worker_takes_as_many_jobs_as_it_has_threads_for(by_hand: Config) -> None:
    config = changed(by_hand, "transcribe", concurrency=3, threads=2, batches=5, batch_size=6)
    worker = planned(config).workers[1]
    assert worker.slots == 3
    assert isinstance(worker.setup, TranscribeSetup)
    assert (worker.setup.batches, worker.setup.batch_size) == (5, 6)
    assert worker.environment["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(("threads", "cores", "expected"), [("auto", 2, 2), ("auto", 64, 8), (3, 2, 3)])
def test_a_diarization_has_threads_for_the_cores_or_as_many_as_were_asked_for(
    by_hand: Config, threads: str | int, cores: int, expected: int
) -> None:
    config = changed(by_hand, "diarize", threads=threads)
    worker = plan(config, {"PATH": "/usr/bin"}, NO_GPU, cores=cores).workers[2]
    assert isinstance(worker.setup, DiarizeSetup)
    assert worker.setup.threads == expected


def test_blocks_of_a_transcription_and_of_a_diarization_are_kept_to_be_used_again(by_hand: Config) -> None:
    _, transcribe, diarize = planned(by_hand).workers
    for worker, threshold in ((transcribe, 2**31), (diarize, 2**24)):
        tunables = worker.environment["GLIBC_TUNABLES"].split(":")
        assert f"glibc.malloc.mmap_threshold={threshold}" in tunables
        assert "glibc.malloc.arena_max=1" in tunables


def test_the_model_that_auto_means_is_named_when_it_is_missing(config: Config) -> None:
    with pytest.raises(StartError, match=r"model base is not installed; run: .*whisperd models pull base"):
        planned(config)
    with pytest.raises(StartError, match=r"whisperd models pull large-v3-turbo"):
        planned(config, GPU)


def test_a_missing_pipeline_names_both_ways_out(by_hand: Config) -> None:
    config = changed(by_hand, "diarize", model="diarization")
    with pytest.raises(StartError, match=r"whisperd models pull diarization or set enabled = false"):
        planned(config)


def test_without_diarization_no_worker_is_started_for_it(by_hand: Config) -> None:
    made = planned(changed(by_hand, "diarize", enabled=False))
    assert [worker.kind for worker in made.workers] == ["decode", "transcribe"]
    assert made.serving.diarization is None


def test_a_damaged_model_is_named_with_its_damage(by_hand: Config, tmp_path: Path) -> None:
    (tmp_path / "whisper" / "manifest.json").write_text("{")
    with pytest.raises(StartError, match="is damaged"):
        planned(by_hand)


def test_a_gpu_that_was_asked_for_and_cannot_be_had_is_no_reason_to_use_the_cpu(by_hand: Config) -> None:
    with pytest.raises(StartError, match="no card"):
        planned(changed(by_hand, "transcribe", device="cuda"))


# ---- on demand -----------------------------------------------------------------------------------


def test_a_model_that_a_request_names_runs_where_the_main_one_does(by_hand: Config, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    role = Role("transcribe", str(tmp_path / "other"))
    (on_card,) = planned(by_hand, GPU).on_demand(role)
    assert isinstance(on_card.setup, TranscribeSetup)
    assert (on_card.setup.device, on_card.setup.compute_type) == ("cuda", "float16")
    assert "LD_LIBRARY_PATH" in on_card.environment
    (on_cpu,) = planned(by_hand, GPU).on_demand(role._replace(device="cpu"))
    assert isinstance(on_cpu.setup, TranscribeSetup)
    assert (on_cpu.setup.device, on_cpu.setup.compute_type) == ("cpu", "int8")
    assert "LD_LIBRARY_PATH" not in on_cpu.environment


def test_a_larger_model_needs_more_memory(by_hand: Config) -> None:
    def need_bytes(weights: int) -> int:
        model = by_hand.paths.state / "models" / f"of-{weights}"
        model.mkdir(parents=True)
        (model / "model.bin").write_bytes(bytes(weights))
        (worker,) = planned(by_hand).on_demand(Role("transcribe", str(model)))
        return worker.need_bytes

    assert need_bytes(2_000_000) - need_bytes(1_000_000) == 800_000  # int8, and what it computes with


def test_text_is_translated_on_the_cpu(by_hand: Config) -> None:
    (by_hand.paths.state / "models" / "opus-mt-xx-yy").mkdir(parents=True)
    (made,) = planned(by_hand, GPU).on_demand(Role("translate", "opus-mt-xx-yy"))
    assert isinstance(made.setup, TranslateSetup)
    assert (made.setup.model, made.setup.device, made.slots) == ("opus-mt-xx-yy", "cpu", 1)


def test_models_that_requests_would_need_are_missed_aloud(by_hand: Config) -> None:
    config = changed(by_hand, "transcribe", models=("small",), translate_model="medium")
    notes = [note for note in planned(config).serving.notes if note.code == "model_missing"]
    assert [note.message.partition(",")[0] for note in notes] == [
        "transcribe.models names small",
        "transcribe.translate_model names medium",
    ]
