"""`whisperd reload` against the daemon's real control socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from whisperd.__main__ import main
from whisperd.errors import ConfigError
from whisperd.web.control import Reloaded, create_control


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A configuration whose control socket lies in the test's directory."""
    path = tmp_path / "whisperd.toml"
    path.write_text(f"[paths]\nrun = '{tmp_path}'\n", encoding="utf-8")
    return path


@pytest.fixture
def broken(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a mistake; the default control socket lies in the test's directory."""
    monkeypatch.setattr("whisperd.config.schema.Paths.control_socket", path.parent / "control.sock")
    path.write_text("log = 'loud'\n", encoding="utf-8")
    return path


@asynccontextmanager
async def daemon(path: Path, reload: Callable[[], Reloaded]) -> AsyncIterator[None]:
    """What of the daemon a reload needs."""
    runner = web.AppRunner(create_control(reload))
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path.parent / "control.sock")).start()
        yield
    finally:
        await runner.cleanup()


async def reload(path: Path) -> int:
    return await asyncio.to_thread(main, ["--config", str(path), "reload"])


async def test_what_changed_and_what_waits_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with daemon(path, lambda: Reloaded(["log.level", "limits.wait"], ["transcribe.model"])):
        assert await reload(path) == 0
    assert capsys.readouterr() == (
        "in force now: log.level, limits.wait\nin force after a restart: transcribe.model\n",
        "",
    )


async def test_a_reload_without_a_change_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with daemon(path, lambda: Reloaded([], [])):
        assert await reload(path) == 0
    assert capsys.readouterr().out == "nothing has changed\n"


async def test_a_refusal_fails_with_the_daemons_reasons(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> Reloaded:
        raise ConfigError("a.toml: log.level: loud\nb.toml: no")

    async with daemon(path, refuse):
        assert await reload(path) == 1
    assert capsys.readouterr() == (
        "",
        "whisperd: the daemon goes on as it was\nwhisperd: a.toml: log.level: loud\nwhisperd: b.toml: no\n",
    )


async def test_a_daemon_that_does_not_run_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await reload(path) == 1
    socket = path.parent / "control.sock"
    assert capsys.readouterr().err == f"whisperd: no daemon answers at {socket}: No such file or directory\n"


async def test_with_a_mistake_the_daemon_is_still_asked_so_that_it_notes_the_refusal(
    broken: Path,
) -> None:
    asked = []

    def refuse() -> Reloaded:
        asked.append(True)
        raise ConfigError("a.toml: log.level: loud")

    async with daemon(broken, refuse):
        assert await reload(broken) == 1
    assert asked


async def test_with_a_mistake_and_no_daemon_the_mistake_is_told(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await reload(broken) == 78
    assert capsys.readouterr().err.startswith(f"whisperd: {broken}: log: is a section")
