"""A process for each recording that is opened: what its bytes do, they do to nobody else.

A worker forks for each job. The child has no descriptor of the worker's, no right to much memory, time or
disk and none to the network, and ends with the job, whatever became of it. So a file that breaks the decoder
is known for certain, and neither those beside it nor the worker notice.
"""

import logging
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

from whisperd import protocol
from whisperd.engine import Cancelled, Progress, seclusion
from whisperd.engine.allowance import Allowance, address_space
from whisperd.engine.prctl import end_with_parent
from whisperd.errors import EngineError, MediaError, RequestError, WhisperdError
from whisperd.journal import fields
from whisperd.transcript.model import Segment

logger = logging.getLogger(__name__)

Work = Callable[[Any, Progress, Callable[[], bool]], Any]

_LOOK_S: Final = 0.05
"""So often a job that says nothing is asked about: whether anybody still waits for it, and how long."""
_MAX_MESSAGE_BYTES: Final = 2**16


class End(NamedTuple):
    """How a child ended."""

    status: int
    """As `os.waitpid` has it."""
    cpu_s: float
    peak_bytes: int

    @property
    def killed(self) -> bool:
        """Whether that came from outside: by the system, short of memory, or by a person."""
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL


def run(
    work: Work,
    job: Any,
    allowance: Allowance,
    progress: Progress,
    cancelled: Callable[[], bool],
    *,
    ended: Callable[[End], None] = lambda _: None,
) -> Any:
    """Do a job in a process of its own; `ended` is told how that ended.

    Raises what the job raises, Cancelled as soon as `cancelled` is true, and MediaError for a file that
    exceeds its allowance or ends its process: nobody is to try it again. A process that somebody else has
    killed, of which no file is capable, is followed by another, once.
    """
    outcome, end = _once(work, job, allowance, progress, cancelled, ended)
    if outcome is None and end.killed:
        logger.warning("a decoder was killed by %s; its file is tried once more", signal.SIGKILL.name)
        outcome, end = _once(work, job, allowance, progress, cancelled, ended)
    if outcome is None:
        raise _verdict(end)
    if isinstance(outcome, protocol.Failed):
        raise outcome.error()
    return outcome.result


# ---- the worker's side ---------------------------------------------------------------------------


def _once(
    work: Work,
    job: Any,
    allowance: Allowance,
    progress: Progress,
    cancelled: Callable[[], bool],
    ended: Callable[[End], None],
) -> tuple[protocol.Done | protocol.Failed | None, End]:
    """What a process says, or None where it ends without a word; and how it ended."""
    reading, writing = os.pipe()
    sys.stderr.flush()
    worker, space = os.getpid(), address_space()
    child = os.fork()
    if child == 0:
        _live(work, job, allowance, writing, worker, space)
    os.close(writing)
    try:
        outcome = _outcome(reading, allowance, progress, cancelled)
    finally:
        os.close(reading)
        # It has nothing more to say, or nobody listens.
        os.kill(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
        end = End(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        ended(end)
    return outcome, end


def _outcome(
    reading: int, allowance: Allowance, progress: Progress, cancelled: Callable[[], bool]
) -> protocol.Done | protocol.Failed | None:
    """What the child says of its end; None where it ends without a word. Raises Cancelled, MediaError."""
    pending = bytearray()
    moved_at = time.monotonic()
    waiting = select.poll()
    waiting.register(reading, select.POLLIN)
    while True:
        if cancelled():
            raise Cancelled
        if not waiting.poll(_LOOK_S * 1000):
            if time.monotonic() - moved_at > allowance.stall_s:
                logger.warning("a file was given up: nothing moved for %g s", allowance.stall_s)
                raise MediaError("the file can't be decoded: the decoder came to a standstill in it")
            continue
        data = os.read(reading, _MAX_MESSAGE_BYTES)
        if not data:
            return None
        moved_at = time.monotonic()
        pending += data
        while len(pending) >= protocol.HEADER_BYTES:
            end = protocol.HEADER_BYTES + protocol.frame_length(bytes(pending[: protocol.HEADER_BYTES]))
            if end > _MAX_MESSAGE_BYTES:
                raise EngineError("the decoder said too much")
            if len(pending) < end:
                break
            message = protocol.decode_to_daemon(bytes(pending[protocol.HEADER_BYTES : end]))
            del pending[:end]
            if isinstance(message, protocol.Done | protocol.Failed):
                return message
            if isinstance(message, protocol.Event):
                progress(message.position_s)


def _verdict(end: End) -> MediaError:
    """The error for a file in which a process ended by itself."""
    by = signal.Signals(os.WTERMSIG(end.status)).name if os.WIFSIGNALED(end.status) else "itself"
    logger.warning(
        "a file ended its decoder, by %s, after %.1f s of CPU time, with %d MB; it is not tried again",
        by,
        end.cpu_s,
        end.peak_bytes // 2**20,
        extra=fields(signal=by),
    )
    if by == signal.SIGXCPU.name:
        return MediaError("the file can't be decoded: it takes far more computing time than its sound does")
    return MediaError("the file can't be decoded: the decoder broke down in it")


# ---- the child's side ----------------------------------------------------------------------------


def _live(work: Work, job: Any, allowance: Allowance, writing: int, worker: int, space: int) -> NoReturn:
    """The child's whole life. What it needs to know of its worker, that has found out before: each page that
    the child writes to has to be copied for it.
    """
    try:
        end_with_parent()
        _close_all_but(writing)
        allowance.begin(space)
        seclusion.begin()
        if os.getppid() == worker:
            _say(writing, _done(work, job, allowance, writing))
    except BaseException:
        logger.exception("the process of a %s job failed", type(job).__name__)
    finally:
        # Not the interpreter's end: what it would tidy up is the worker's.
        os._exit(1)


def _done(work: Work, job: Any, allowance: Allowance, writing: int) -> protocol.Done | protocol.Failed:
    def progress(position_s: float, _: Segment | None = None, /) -> None:
        allowance.extend(position_s)
        _say(writing, protocol.Event(0, position_s))

    try:
        return protocol.Done(0, work(job, progress, lambda: False))
    except WhisperdError as error:
        param = error.param if isinstance(error, RequestError) else None
        return protocol.Failed(0, error.code, error.message, param)
    except MemoryError:
        return protocol.Failed(
            0, MediaError.code, "the file can't be decoded: it takes more memory than a recording may"
        )
    except FileNotFoundError:
        # Its request has ended, and this process is about to.
        logger.info("the recording of a %s job is gone", type(job).__name__)
    except Exception:
        logger.exception("a %s job failed", type(job).__name__)
    return protocol.Failed(0, EngineError.code, "the engine failed at this recording")


def _close_all_but(kept: int) -> None:
    """Close what was open in the worker: its line to the daemon, and other jobs' files."""
    os.closerange(3, kept)
    os.closerange(kept + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _say(writing: int, message: protocol.Done | protocol.Failed | protocol.Event) -> None:
    data = protocol.encode(message)
    while data:
        data = data[os.write(writing, data) :]
