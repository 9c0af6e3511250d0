"""The child that is asked about libraries and engines, and what becomes of one that breaks."""

import os
import sys

import pytest

from whisperd.cuda import child
from whisperd.cuda.answers import Engines, Loaded
from whisperd.cuda.child import ChildFailed, ask


def script(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(child, "_COMMAND", (sys.executable, "-c", text))


def test_ctranslate2_answers_from_a_child() -> None:
    engines = ask(("engines",), Engines, os.environ)
    assert engines.ctranslate2_cuda == 12
    assert engines.ctranslate2.startswith("4.")


def test_a_library_that_is_not_there_is_told_in_the_loaders_words() -> None:
    loaded = ask(("load", "libnowhere.so.1"), Loaded, os.environ)
    assert loaded.error == "libnowhere.so.1: cannot open shared object file: No such file or directory"


def test_a_library_is_found_with_its_path_and_its_own_name() -> None:
    loaded = ask(("load", "libm.so.6"), Loaded, os.environ)
    assert loaded.error is None
    assert loaded.path is not None
    assert loaded.path.endswith("/libm.so.6")
    assert loaded.soname == "libm.so.6"


def test_an_unknown_question_is_refused() -> None:
    with pytest.raises(ChildFailed, match="no such question: why"):
        ask(("why",), Loaded, os.environ)


def test_a_child_that_dies_of_a_signal_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(ChildFailed, match="was killed by SIGSEGV"):
        ask(("engines",), Engines, os.environ)


def test_a_child_that_fails_is_told_by_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, "import no_such_engine")
    with pytest.raises(ChildFailed, match=r"^ModuleNotFoundError: No module named 'no_such_engine'$"):
        ask(("engines",), Engines, os.environ)


def test_a_child_that_says_nothing_is_told_by_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, "import os; os._exit(3)")
    with pytest.raises(ChildFailed, match="ended with status 3"):
        ask(("engines",), Engines, os.environ)


def test_a_child_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(ChildFailed, match=r"no answer within 0.2 seconds"):
        ask(("engines",), Engines, os.environ, timeout_s=0.2)


@pytest.mark.parametrize("words", ["", "hello", '{"ctranslate2": 4}'])
def test_a_child_that_answers_nonsense_is_not_believed(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    script(monkeypatch, f"print({words!r})")
    with pytest.raises(ChildFailed, match="answered nonsense"):
        ask(("engines",), Engines, os.environ)


def test_what_a_library_prints_as_it_loads_does_not_spoil_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, """print("banner"); print('{"error": "none"}')""")
    assert ask(("load", "x"), Loaded, os.environ).error == "none"


def test_a_program_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_COMMAND", ("/nonexistent/python",))
    with pytest.raises(ChildFailed, match="could not be started"):
        ask(("engines",), Engines, os.environ)
