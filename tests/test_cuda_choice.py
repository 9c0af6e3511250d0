"""Which device and which compute type: a table of machines, and what each of them gets."""

from typing import Any

import pytest
from fake_nvidia import GTX_1080, GTX_1660, H200, QUADRO_M4000, RTX_3060, TESLA_P100, device, numbered

from whisperd.cuda import choice as choices
from whisperd.cuda.choice import Choice, default_model, memory_need, windows_at_once
from whisperd.cuda.facts import Device, Facts, Obstacle
from whisperd.errors import StartError

TURBO = 1_617_884_929
LARGE = 3_087_284_237

NOTHING = Facts(obstacle=Obstacle("this machine has no NVIDIA card", "Buy one"))
ON_CPU = Choice(device="cpu", compute_type="int8")


def facts(*cards: Device, **changes: Any) -> Facts:
    """A machine with a driver of CUDA 12.8 and these cards."""
    known: dict[str, Any] = {"driver": "570.86.15", "cuda": (12, 8), "torch_cuda": "12.8"}
    return Facts(devices=numbered(*cards), **(known | changes))


def choose(device: str, compute_type: str, machine: Facts, **bytes_: int) -> Choice:
    """The one place to transcribe."""
    (choice,) = choices.choose(device, compute_type, machine, **bytes_)
    return choice


def choose_diarization(device: str, transcription: Choice, machine: Facts) -> Choice:
    """The one place to tell speakers apart."""
    (choice,) = choices.choose_diarization(device, [transcription], machine)
    return choice


def codes(choice: Choice) -> list[str]:
    return [note.code for note in choice.notes]


@pytest.mark.parametrize(
    ("card", "weights", "expected"),
    [
        (H200, LARGE, "float16"),
        (RTX_3060, LARGE, "float16"),
        (GTX_1660, TURBO, "float16"),
        (GTX_1080, LARGE, "int8_float32"),
        (TESLA_P100, TURBO, "float32"),
        (device("Jetson TX1", (5, 3), total=4, types=["float32"]), 145_217_532, "float32"),
    ],
    ids=lambda value: value.name if isinstance(value, Device) else str(value),
)
def test_auto_takes_the_fastest_arithmetic_of_each_generation(
    card: Device, weights: int, expected: str
) -> None:
    choice = choose("auto", "auto", facts(card), weights_bytes=weights)
    assert choice == Choice(device="cuda", device_name=card.name, compute_type=expected)


@pytest.mark.parametrize(
    ("free", "expected", "notes"),
    [
        (12.0, "float16", []),
        (4.0, "int8_float16", ["memory_short"]),
        (1.0, "int8_float16", ["memory_short"]),
    ],
)
def test_auto_takes_int8_where_memory_is_short_and_says_so(
    free: float, expected: str, notes: list[str]
) -> None:
    choice = choose("auto", "auto", facts(device(free=free)), weights_bytes=LARGE)
    assert (choice.compute_type, codes(choice)) == (expected, notes)


def test_memory_that_is_left_to_others_counts_as_taken() -> None:
    machine = facts(device(free=5.0))
    assert choose("auto", "auto", machine, weights_bytes=LARGE).compute_type == "float16"
    reserved = choose("auto", "auto", machine, weights_bytes=LARGE, reserved_bytes=2 * 2**30)
    assert reserved.compute_type == "int8_float16"


def test_a_short_memory_tells_what_is_needed_and_what_is_free() -> None:
    (note,) = choose("cuda", "float16", facts(device(free=4.0)), weights_bytes=LARGE).notes
    assert note.message == (
        "the model needs 4.6 GB in float16, and NVIDIA GeForce RTX 3060 (cuda:0) has 4.3 GB free: "
        "it runs in float16 and may fail"
    )


@pytest.mark.parametrize(
    ("compute_type", "measured_mb"), [("float16", 4525), ("int8_float16", 2926)], ids=["float16", "int8"]
)
def test_the_need_for_memory_is_that_which_faster_whisper_publishes_for_large_v2(
    compute_type: str, measured_mb: int
) -> None:
    need_mb = memory_need(3_086_912_962, compute_type) / 1e6
    assert measured_mb <= need_mb <= measured_mb * 1.05


def test_wider_arithmetic_needs_more_memory() -> None:
    needs = [memory_need(LARGE, name) for name in ("int8_float16", "int8_float32", "float16", "float32")]
    assert needs == sorted(needs)


@pytest.mark.parametrize("card", [H200, device("NVIDIA GeForce RTX 5090", (12, 0), total=32)], ids=str)
def test_a_card_newer_than_the_machine_code_needs_a_driver_that_compiles(card: Device) -> None:
    old = facts(card, driver="550.54.14", cuda=(12, 4))
    with pytest.raises(StartError, match=r"driver 550.54.14 runs CUDA up to 12.4.*570"):
        choose("cuda", "auto", old, weights_bytes=TURBO)
    assert choose("cuda", "auto", facts(card), weights_bytes=TURBO).device == "cuda"


def test_an_older_card_does_with_any_driver_of_cuda_12() -> None:
    choice = choose("cuda", "auto", facts(RTX_3060, driver="525.60.13", cuda=(12, 0)), weights_bytes=TURBO)
    assert choice.device == "cuda"
    with pytest.raises(StartError, match="Upgrade NVIDIA's driver to 525 or newer"):
        choose("cuda", "auto", facts(RTX_3060, driver="470.1", cuda=(11, 4)), weights_bytes=TURBO)


def test_auto_ends_on_the_cpu_and_gives_the_reason() -> None:
    choice = choose("auto", "auto", NOTHING, weights_bytes=TURBO)
    assert (choice.label, choice.compute_type) == ("cpu", "int8")
    (note,) = choice.notes
    assert note.code == "cpu_only"
    assert "this machine has no NVIDIA card. Buy one" in note.message


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (facts(QUADRO_M4000), "compute capability 5.2, and CTranslate2 has code for 5.3 and newer"),
        (facts(device(types=[])), "CTranslate2 can't use"),
        (facts(device(total=2)), "the model needs 3.0 GB, and NVIDIA GeForce RTX 3060"),
        (facts(RTX_3060, obstacle=Obstacle("cuBLAS can't be loaded", "Install it")), "cuBLAS can't be"),
    ],
)
def test_a_card_that_cannot_do_it_fails_cuda_and_sends_auto_to_the_cpu(machine: Facts, reason: str) -> None:
    choice = choose("auto", "auto", machine, weights_bytes=LARGE)
    assert (choice.device, codes(choice)) == ("cpu", ["cpu_only"])
    assert reason in choice.notes[0].message
    with pytest.raises(StartError, match=r'transcribe.device is "cuda", but') as raised:
        choose("cuda", "auto", machine, weights_bytes=LARGE)
    assert reason in raised.value.message
    assert raised.value.exit_code == 78


def test_cuda_without_a_card_fails_and_never_falls_back() -> None:
    with pytest.raises(StartError, match="no NVIDIA card"):
        choose("cuda", "auto", NOTHING, weights_bytes=TURBO)


def test_the_cpu_is_taken_without_a_word_when_it_was_asked_for() -> None:
    assert choose("cpu", "auto", facts(RTX_3060), weights_bytes=TURBO) == ON_CPU
    assert choose("cpu", "float32", NOTHING, weights_bytes=TURBO).compute_type == "float32"


@pytest.mark.parametrize("wanted", ["cpu", "auto"])
def test_the_cpu_refuses_arithmetic_that_it_does_not_have(wanted: str) -> None:
    with pytest.raises(StartError, match=r"float16.*int8, int8_float32, float32"):
        choose(wanted, "float16", NOTHING, weights_bytes=TURBO)


def test_a_card_refuses_arithmetic_that_it_does_not_have() -> None:
    with pytest.raises(StartError, match=r"GTX 1080 .* has no float16.*float32, int8, int8_float32"):
        choose("cuda", "float16", facts(GTX_1080), weights_bytes=TURBO)


def test_of_several_cards_the_one_with_fast_half_precision_and_most_memory_is_taken() -> None:
    machine = facts(GTX_1080, device(free=6), device(free=9), QUADRO_M4000)
    assert choose("auto", "auto", machine, weights_bytes=TURBO).label == "cuda:2"


def test_a_card_can_be_named_by_its_number() -> None:
    machine = facts(RTX_3060, GTX_1080)
    assert choose("cuda:1", "auto", machine, weights_bytes=TURBO).compute_type == "int8_float32"
    with pytest.raises(StartError, match=r"no GPU of that number.*RTX 3060 \(cuda:0\), .*\(cuda:1\)"):
        choose("cuda:2", "auto", machine, weights_bytes=TURBO)


def test_diarization_follows_the_transcription() -> None:
    machine = facts(RTX_3060, H200)
    transcription = choose("cuda:0", "auto", machine, weights_bytes=TURBO)
    assert choose_diarization("auto", transcription, machine).label == "cuda:0"
    assert choose_diarization("cuda", transcription, machine).label == "cuda:0"
    assert choose_diarization("auto", ON_CPU, machine) == Choice(device="cpu", compute_type="float32")


def test_diarization_may_have_a_device_of_its_own() -> None:
    machine = facts(RTX_3060, H200)
    transcription = choose("cuda:0", "auto", machine, weights_bytes=TURBO)
    assert choose_diarization("cuda:1", transcription, machine).device_name == H200.name
    assert choose_diarization("cpu", transcription, machine).label == "cpu"
    assert choose_diarization("cuda", ON_CPU, machine).label == "cuda:1"


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (facts(GTX_1080), "torch has code for 7.0 and newer"),
        (facts(RTX_3060, torch_cuda=None), "torch is built for the CPU alone"),
    ],
)
def test_diarization_that_cannot_follow_says_so(machine: Facts, reason: str) -> None:
    transcription = choose("cuda", "auto", machine, weights_bytes=TURBO)
    choice = choose_diarization("auto", transcription, machine)
    assert (choice.label, codes(choice)) == ("cpu", ["diarization_cpu_only"])
    assert reason in choice.notes[0].message
    with pytest.raises(StartError, match=r'diarize.device is "cuda", but'):
        choose_diarization("cuda", transcription, machine)


def test_the_default_model_is_small_on_a_cpu() -> None:
    assert (default_model("cuda"), default_model("cpu")) == ("large-v3-turbo", "base")


# ---- several cards -------------------------------------------------------------------------------


def test_each_card_that_is_named_is_used_in_that_order() -> None:
    machine = facts(RTX_3060, GTX_1660, GTX_1080, H200)
    found = choices.choose("cuda:3,cuda:2,cuda:1", "auto", machine, weights_bytes=TURBO)
    assert [(choice.label, choice.compute_type) for choice in found] == [
        ("cuda:3", "float16"),
        ("cuda:2", "int8_float32"),
        ("cuda:1", "float16"),
    ]


def test_speakers_are_told_apart_on_those_cards_of_the_transcription_that_can_do_it() -> None:
    machine = facts(RTX_3060, GTX_1080, H200)
    transcription = choices.choose("cuda:2,cuda:1", "auto", machine, weights_bytes=TURBO)
    (choice,) = choices.choose_diarization("auto", transcription, machine)
    assert (choice.label, codes(choice)) == ("cuda:2", ["card_unused"])
    with pytest.raises(StartError, match=r'diarize\.device is "cuda:2,cuda:1"'):
        choices.choose_diarization("cuda:2,cuda:1", transcription, machine)


@pytest.mark.parametrize("device", ["cuda:0,cuda:1", "cuda:0,cuda:7"])
def test_a_card_that_is_named_and_can_not_be_used_is_not_left_out(device: str) -> None:
    with pytest.raises(StartError, match=rf'transcribe\.device is "{device}", but '):
        choices.choose(device, "auto", facts(RTX_3060, QUADRO_M4000), weights_bytes=LARGE * 3)


def test_all_cards_are_those_that_can_be_used_and_the_others_are_told_of() -> None:
    machine = facts(RTX_3060, device("small", (8, 6), total=1.0), H200)
    found = choices.choose("cuda:all", "auto", machine, weights_bytes=LARGE)
    assert [choice.label for choice in found] == ["cuda:0", "cuda:2"]
    assert codes(found[0]) == ["card_unused"]
    assert "small (cuda:1)" in found[0].notes[0].message
    followers = choices.choose_diarization("auto", found, machine)
    assert [choice.label for choice in followers] == ["cuda:0", "cuda:2"]


def test_all_cards_are_at_least_one() -> None:
    with pytest.raises(StartError, match=r'transcribe\.device is "cuda:all"'):
        choices.choose("cuda:all", "auto", NOTHING, weights_bytes=TURBO)


def test_a_card_alone_is_what_is_meant_where_no_other_is_named() -> None:
    assert choose("cuda", "auto", facts(RTX_3060, H200), weights_bytes=TURBO).label == "cuda:1"


@pytest.mark.parametrize(
    ("card", "weights", "expected"), [(H200, LARGE, 16), (RTX_3060, LARGE, 14), (GTX_1660, TURBO, 12)]
)
def test_a_batch_is_as_large_as_a_card_has_room_for(card: Device, weights: int, expected: int) -> None:
    choice = choose("cuda", "auto", facts(card), weights_bytes=weights)
    assert windows_at_once(weights, choice.room_bytes) == expected


def test_a_card_without_room_takes_one_window_at_a_time() -> None:
    assert windows_at_once(TURBO, 0) == 1
