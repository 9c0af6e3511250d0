"""Where a worker works, and what people call it."""

from whisperd.protocol import DecodeSetup, Kind, Setup


def device_of(setup: Setup) -> str | None:
    """`cpu`, `cuda:0`; None where it makes no difference."""
    if isinstance(setup, DecodeSetup):
        return None
    return "cpu" if setup.device == "cpu" else f"cuda:{setup.device_index}"


def name_of(kind: Kind, setup: Setup) -> str:
    """`transcribe worker`, with its card, of which there may be several."""
    device = device_of(setup)
    return f"{kind} worker" + (f" on {device}" if device and device != "cpu" else "")
