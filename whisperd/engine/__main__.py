"""`python -m whisperd.engine KIND FD`: one worker, started by the daemon with its socket at FD.

KIND is there for `ps`; what to load comes with the first message.
"""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from whisperd import journal, protocol
from whisperd.engine.host import Engine, Host
from whisperd.engine.prctl import end_with_parent

_NICE: Final = 5
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_SOONER: Final = 300
_SURELY: Final = 1000


def main() -> None:
    """Serve one daemon until it is gone."""
    descriptor = int(sys.argv[2])
    # The daemon alone decides when to stop; and should it be killed, a worker in the middle of a kernel
    # would notice only afterwards, so the kernel ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Health and admission are answered in microseconds, but only when the daemon gets a core.
    os.nice(_NICE)
    # Where memory ends, the kernel takes a worker, which is replaced, and not the daemon.
    score = min(int(_OOM_SCORE.read_text(encoding="ascii")) + _SOONER, _SURELY)
    _OOM_SCORE.write_text(f"{score}", encoding="ascii")
    end_with_parent()
    journal.setup("info")  # until Start names the level
    with socket.socket(fileno=descriptor) as connection:
        connection.set_inheritable(False)
        Host(connection, _load).serve()
    # Threads may be inside a library that can't be interrupted, and nothing here needs an orderly end.
    sys.stderr.flush()
    os._exit(0)


def _load(setup: protocol.Setup) -> Engine:
    """Import only what this kind needs: torch alone costs seconds and half a gigabyte."""
    match setup:
        case protocol.DecodeSetup():
            from whisperd.engine.recordings import Recordings

            return Recordings(setup)
        case protocol.TranscribeSetup():
            from whisperd.engine.transcribe import Transcriber

            return Transcriber(setup)
        case protocol.DiarizeSetup():
            from whisperd.engine.diarize import Diarizer

            return Diarizer(setup)
        case protocol.TranslateSetup():
            from whisperd.engine.translate import Translator

            return Translator(setup)


main()
