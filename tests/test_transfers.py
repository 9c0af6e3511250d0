"""How a pull looks, on a terminal and off it."""

import io

from rich.console import Console

from whisperd.cli.transfers import shown_on


def shown(*steps: int, total: int, terminal: bool) -> str:
    """What a transfer that takes `steps` leaves on the console."""
    written = io.StringIO()
    with shown_on(Console(file=written, force_terminal=terminal, width=60)) as progress:
        progress.say("[base]: trying")
        with progress.transfer("model.bin", total) as moved:
            for step in steps:
                moved(step)
    return written.getvalue()


def test_off_a_terminal_a_large_transfer_is_told_by_quarters() -> None:
    text = shown(1, 30_000_000, 31_000_000, 99_000_000, 100_000_000, total=100_000_000, terminal=False)
    assert text.splitlines() == [
        "[base]: trying",
        "  model.bin: 100.0 MB",
        "  model.bin: 25 %",
        "  model.bin: 75 %",
    ]


def test_off_a_terminal_a_small_transfer_is_one_line() -> None:
    text = shown(500, 1000, total=1000, terminal=False)
    assert text.splitlines() == ["[base]: trying", "  model.bin: 0.0 MB"]


def test_on_a_terminal_there_is_a_bar_under_the_lines() -> None:
    text = shown(50_000_000, total=100_000_000, terminal=True)
    assert text.index("[base]: trying") < text.index("model.bin") < text.index("/100.0 MB")
