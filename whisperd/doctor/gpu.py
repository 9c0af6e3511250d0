"""From the bus to the driver: is there a card, who has it, and does the driver suffice?"""

from collections.abc import Iterator

from whisperd.cuda import bus
from whisperd.cuda.answers import Engines
from whisperd.cuda.compatibility import ctranslate2_obstacle, dotted
from whisperd.cuda.probe import NO_CARD
from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine


def check_cards(machine: Machine) -> Iterator[Finding]:
    """Each card on the bus, and the driver that it is bound to."""
    if not machine.cards:
        if bus.visible(machine.root):
            yield Finding("card", "ok", "there are device nodes of NVIDIA's, and no card on the bus")
        elif machine.gpu == "required":
            yield Finding("card", "failure", NO_CARD.reason, 'Set transcribe.device to "auto" or "cpu"')
        else:
            yield Finding("card", "skipped", NO_CARD.reason)
    for card in machine.cards:
        if found := bus.obstacle(card, machine.root):
            yield Finding("card", machine.gpu_trouble, found.reason, found.remedy)
        else:
            yield Finding("card", "ok", f"{card} has NVIDIA's driver")


def check_driver(machine: Machine) -> Iterator[Finding]:
    """Whether the driver runs, and suffices for each card."""
    facts = machine.facts
    if not facts.devices and facts.obstacle:
        yield Finding("driver", machine.gpu_trouble, facts.obstacle.reason, facts.obstacle.remedy)
        return
    cuda = dotted(facts.cuda) if facts.cuda else "?"
    yield Finding("driver", "ok", f"driver {facts.driver} runs CUDA up to {cuda}")
    if isinstance(machine.engines, Engines) and (error := machine.engines.driver_error):
        yield Finding(
            "driver",
            machine.gpu_trouble,
            f"CUDA does not start: {error}",
            "See the device nodes above; if they are right, restart the machine",
        )
    for device in facts.devices:
        if found := ctranslate2_obstacle(device, facts):
            yield Finding("GPU", machine.gpu_trouble, found.reason, found.remedy)
        else:
            free, total = (f"{size / 1e9:.1f}" for size in (device.free_bytes, device.total_bytes))
            capability = dotted(device.capability)
            yield Finding(
                "GPU", "ok", f"{device}: compute capability {capability}, {free} of {total} GB free"
            )
