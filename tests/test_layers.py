"""The shape of the house: which room may know which, and what the daemon may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import whisperd

ROOT = Path(whisperd.__file__).parent

# A room may import from rooms below its own line, and from its neighbours on it.
LAYERS = (
    ("__main__", "cli", "doctor"),
    ("daemon", "assembly"),
    ("web", "metrics"),
    ("jobs",),
    ("plan",),
    ("service",),
    ("admission", "pipeline", "offer"),
    ("scheduler",),
    ("pool",),
    ("lane",),
    ("worker",),
    ("life",),
    ("media", "models", "listen", "memory", "access", "egress", "llm", "tls"),
    ("cuda",),
    ("status", "place"),
    ("protocol", "config"),
    ("fairness",),
    ("transcript",),
    ("codes",),
    ("errors", "journal", "notify", "owner", "speed", "foresight", "tasks", "sqlite"),
)
ENGINE_MAY_IMPORT = {"engine", "protocol", "transcript", "codes", "errors", "journal", "cuda"}
MACHINE_LEARNING = {
    "av", "ctranslate2", "faster_whisper", "huggingface_hub", "numpy", "onnxruntime", "pyannote",
    "sentencepiece", "tokenizers", "torch", "torchaudio",
}  # fmt: skip
SQLITE_ROOMS = {"whisperd.sqlite", "whisperd.jobs.sqlite", "whisperd.jobs.schema", "whisperd.jobs.rows"}
AIOHTTP_ROOMS = {"web", "daemon", "assembly", "cli", "egress", "media", "llm"}


def modules() -> list[str]:
    return sorted(
        ".".join(("whisperd", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
    )


def source(module: str) -> Path:
    path = ROOT.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(module: str) -> set[str]:
    """Dotted names of everything that the module's source imports, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(source(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(dotted: str) -> str | None:
    parts = dotted.split(".")
    return parts[1] if parts[0] == "whisperd" and len(parts) > 1 else None


def layer(name: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if name in rooms)


@pytest.mark.parametrize("module", [name for name in modules() if room(name)])
def test_imports_only_go_down(module: str) -> None:
    mine = room(module)
    assert mine
    others = {room(name) for name in imports(module)} - {None, mine, "__version__"}
    if mine == "engine":
        assert others <= ENGINE_MAY_IMPORT
        return
    assert "engine" not in others, "workers are started by exec, never imported"
    for other in others:
        assert other
        assert layer(other) >= layer(mine), f"{module} imports whisperd.{other}, which stands above it"


@pytest.mark.parametrize("module", [name for name in modules() if room(name)])
def test_only_rooms_that_speak_http_know_aiohttp(module: str) -> None:
    knows = any(name.split(".")[0] == "aiohttp" for name in imports(module))
    assert not knows or room(module) in AIOHTTP_ROOMS


@pytest.mark.parametrize("module", modules())
def test_only_what_stands_behind_a_door_knows_sqlite(module: str) -> None:
    """`jobs.store.Store` is one such door; keys and usage, which no other machine shares, have their own."""
    known = {name for name in imports(module) if name.split(".")[0] == "sqlite3" or room(name) == "sqlite"}
    assert not known or module in SQLITE_ROOMS or room(module) in {"access", "cli"}


@pytest.mark.parametrize("module", modules())
def test_only_the_assembly_knows_which_store_jobs_have(module: str) -> None:
    behind = {"whisperd.jobs.sqlite", "whisperd.jobs.schema", "whisperd.jobs.rows"}
    known = {name for name in imports(module) if any(name.startswith(other) for other in behind)}
    assert not known or module in {"whisperd.assembly", "whisperd.jobs.sqlite"}


def test_the_daemon_loads_no_machine_learning() -> None:
    program = "import sys, whisperd.daemon; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not MACHINE_LEARNING & set(loaded.stdout.split())


@pytest.mark.parametrize("module", [name for name in modules() if room(name) not in {"engine", "__main__"}])
def test_each_module_can_be_imported_alone(module: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", f"import {module}"], check=True)


def test_no_file_outgrows_the_head() -> None:
    for path in ROOT.rglob("*.py"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 350, f"{path.relative_to(ROOT)} has {lines} lines"
