"""Which device, and which arithmetic on it: pure functions of what was configured and what was probed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from whisperd.cuda.compatibility import ctranslate2_obstacle, torch_obstacle
from whisperd.cuda.facts import Device, Facts, Obstacle
from whisperd.errors import StartError
from whisperd.transcript.model import Notice

DIARIZATION_BYTES: Final = 2 * 2**30
"""What a diarization pipeline takes on a card."""

_CPU_TYPES: Final = ("int8", "int8_float32", "float32")

_CONTEXT_BYTES: Final = 512 * 2**20
"""CUDA's context and cuBLAS's workspace."""
_ACTIVATIONS: Final = 0.3
"""Of the weights in float16: what faster-whisper's own figures leave for a large model with a beam of 5."""
_WINDOW: Final = 0.2
"""Of the weights in float16: what another window in the batch takes, most of it the decoder's memory of each
layer for a beam of 5. By the shape of large-v3; turbo, with fewer layers in its decoder, takes half of it."""
_MOST_WINDOWS: Final = 16
"""In a batch: more take longer each, and let others wait."""
_WEIGHT_WIDTH: Final = {"float32": 4, "float16": 2, "bfloat16": 2}
_WIDE: Final = ("float32", "int8_float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A device and a compute type, and what is less about them than it could be."""

    device: Literal["cpu", "cuda"]
    device_index: int = 0
    device_name: str | None = None
    compute_type: str
    room_bytes: int = field(default=0, compare=False)
    """What the model leaves of a card."""
    notes: tuple[Notice, ...] = ()

    @property
    def label(self) -> str:
        """`cpu`, `cuda:0`."""
        return "cpu" if self.device == "cpu" else f"cuda:{self.device_index}"


def default_model(device: Literal["cpu", "cuda"]) -> str:
    """What the model "auto" means on a device."""
    return "large-v3-turbo" if device == "cuda" else "base"


def memory_need(weights_bytes: int, compute_type: str) -> int:
    """Bytes on the card that a Whisper model takes, whose weights are `weights_bytes` in float16."""
    weights = weights_bytes * _WEIGHT_WIDTH.get(compute_type, 1) // 2
    activations = int(weights_bytes * _ACTIVATIONS) * (2 if compute_type in _WIDE else 1)
    return weights + activations + _CONTEXT_BYTES


def windows_at_once(weights_bytes: int, room_bytes: int) -> int:
    """How many windows fit into a batch on a card, where the model with one of them leaves so much room."""
    return min(_MOST_WINDOWS, 1 + int(room_bytes / (_WINDOW * weights_bytes or 1)))


def choose(
    device: str, compute_type: str, facts: Facts, *, weights_bytes: int, reserved_bytes: int = 0
) -> tuple[Choice, ...]:
    """Where to transcribe, for `transcribe.device` and `transcribe.compute_type`: a place, or several cards.

    `weights_bytes` are the model's in float16; `reserved_bytes` of a card are left to others. An "auto" that
    ends on the CPU has a notice with the reason, and so has each card that "cuda:all" can't mean. Raises
    StartError when what was asked for can't be had.
    """
    if device == "cpu":
        return (_on_cpu(compute_type),)

    def obstacle(card: Device) -> Obstacle | None:
        return _obstacle(card, facts, compute_type, weights_bytes)

    found = _wanted(device, facts, obstacle)
    if not isinstance(found, Obstacle):
        cards, notes = found
        first, *others = (_on_card(card, compute_type, weights_bytes, reserved_bytes) for card in cards)
        return (replace(first, notes=first.notes + notes), *others)
    if device != "auto":
        raise StartError(f'transcribe.device is "{device}", but {found}')
    return (_on_cpu(compute_type, Notice("cpu_only", f"transcription runs on the CPU: {found}")),)


def choose_diarization(device: str, transcription: Sequence[Choice], facts: Facts) -> tuple[Choice, ...]:
    """Where to tell speakers apart, for `diarize.device`; "auto" follows the transcription.

    An "auto" that can't follow it to its cards has a notice with the reason. Raises StartError when what was
    asked for can't be had.
    """
    theirs = [choice.label for choice in transcription]
    wanted = ",".join(theirs) if device == "auto" else device
    if wanted == "cpu":
        return (Choice(device="cpu", compute_type="float32"),)
    beside = [] if "," in device else theirs
    found = _wanted(wanted, facts, lambda card: torch_obstacle(card, facts), beside=beside)
    if not isinstance(found, Obstacle):
        cards, notes = found
        choices = [
            Choice(device="cuda", device_index=card.index, device_name=card.name, compute_type="float32")
            for card in cards
        ]
        return (replace(choices[0], notes=notes), *choices[1:])
    if device != "auto":
        raise StartError(f'diarize.device is "{device}", but {found}')
    notice = Notice("diarization_cpu_only", f"diarization runs on the CPU: {found}")
    return (Choice(device="cpu", compute_type="float32", notes=(notice,)),)


def _wanted(
    device: str, facts: Facts, obstacle: Callable[[Device], Obstacle | None], beside: Sequence[str] = ()
) -> tuple[list[Device], tuple[Notice, ...]] | Obstacle:
    """The cards to use, at least one, and what is to be told of others; or why there is none.

    Each card that is named has to be usable, "cuda:all" means those that are, and "auto" and "cuda" the best
    one: one of those `beside` (labels), if it can be. Where the names are theirs, those that are will do.
    """
    if "," in device:
        named = [_usable(name, facts, obstacle) for name in device.split(",")]
        cards = [card for each in named if not isinstance(each, Obstacle) for card in each]
        obstacles = [each for each in named if isinstance(each, Obstacle)]
        if obstacles and not (beside and cards):
            return obstacles[0]
        return cards, tuple(Notice("card_unused", str(each)) for each in obstacles)
    usable = _usable(device, facts, obstacle)
    if isinstance(usable, Obstacle):
        return usable
    if device == "cuda:all":
        notes = [Notice("card_unused", str(found)) for card in facts.devices if (found := obstacle(card))]
        return usable, tuple(notes)
    return [_best([card for card in usable if f"cuda:{card.index}" in beside] or usable)], ()


def _usable(
    device: str, facts: Facts, obstacle: Callable[[Device], Obstacle | None]
) -> list[Device] | Obstacle:
    """The cards that "auto", "cuda", "cuda:all" or "cuda:N" may mean, at least one, or why there is none."""
    if facts.obstacle:
        return facts.obstacle
    number = device.partition(":")[2]
    usable, obstacles = [], []
    for card in facts.devices:
        if number in ("", "all", str(card.index)):
            if found := obstacle(card):
                obstacles.append(found)
            else:
                usable.append(card)
    if usable:
        return usable
    if obstacles:
        return obstacles[0]
    there = ", ".join(map(str, facts.devices)) or "none"
    return Obstacle("there is no GPU of that number", f"Those that there are: {there}")


def _best(cards: list[Device]) -> Device:
    """The card with fast half precision before one without, then the one with the most free memory."""
    return max(cards, key=lambda card: (_fast_float16(card), card.free_bytes, -card.index))


def _obstacle(card: Device, facts: Facts, compute_type: str, weights_bytes: int) -> Obstacle | None:
    """Why the card can't do it at all; memory that others hold now is no such reason."""
    if found := ctranslate2_obstacle(card, facts):
        return found
    if not card.compute_types:
        return Obstacle(f"CTranslate2 can't use {card}", "Run whisperd doctor")
    types = _types(card, compute_type)
    if not types:
        return Obstacle(
            f"{card} has no {compute_type}",
            f'Set transcribe.compute_type to "auto" or one of: {", ".join(sorted(card.compute_types))}',
        )
    least = min(memory_need(weights_bytes, name) for name in types)
    if least > card.total_bytes:
        return Obstacle(
            f"the model needs {_gigabytes(least)}, and {card} has {_gigabytes(card.total_bytes)}",
            "Choose a smaller model (transcribe.model)",
        )
    return None


def _types(card: Device, compute_type: str) -> list[str]:
    """The compute types to try, the best first. CTranslate2 offers int8 where it is fast, and only there."""
    if compute_type != "auto":
        preferred = [compute_type]
    elif _fast_float16(card):
        preferred = ["float16", "int8_float16", "float32"]
    else:
        preferred = ["int8_float32", "float32"]
    return [name for name in preferred if name in card.compute_types]


def _fast_float16(card: Device) -> bool:
    """Pascal has it in data centres (6.0); on desktops (6.1) at a 64th of the speed of float32."""
    return card.capability >= (7, 0) or card.capability == (6, 0)


def _on_card(card: Device, compute_type: str, weights_bytes: int, reserved_bytes: int) -> Choice:
    types = _types(card, compute_type)
    free = max(card.free_bytes - reserved_bytes, 0)
    fitting = [name for name in types if memory_need(weights_bytes, name) <= free]
    name = fitting[0] if fitting else min(types, key=lambda name: memory_need(weights_bytes, name))
    notes = []
    if name != types[0] or not fitting:
        need = _gigabytes(memory_need(weights_bytes, types[0]))
        outcome = f"it runs in {name}" if fitting else f"it runs in {name} and may fail"
        message = f"the model needs {need} in {types[0]}, and {card} has {_gigabytes(free)} free: {outcome}"
        notes.append(Notice("memory_short", message))
    return Choice(
        device="cuda",
        device_index=card.index,
        device_name=card.name,
        compute_type=name,
        room_bytes=max(free - memory_need(weights_bytes, name), 0),
        notes=tuple(notes),
    )


def _on_cpu(compute_type: str, *notes: Notice) -> Choice:
    if compute_type == "auto":
        return Choice(device="cpu", compute_type="int8", notes=notes)
    if compute_type not in _CPU_TYPES:
        raise StartError(
            f'transcribe.compute_type is "{compute_type}", which a CPU does not do; it does '
            f"{', '.join(_CPU_TYPES)}" + "".join(f"; {note.message}" for note in notes)
        )
    return Choice(device="cpu", compute_type=compute_type, notes=notes)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
