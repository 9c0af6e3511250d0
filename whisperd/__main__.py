"""`whisperd`: from a command line to an exit status."""

import os
import sys
from collections.abc import Sequence
from typing import Final

from whisperd.cli.parser import parse
from whisperd.errors import WhisperdError

_INTERRUPTED: Final = 130
_BROKEN_PIPE: Final = 141
"""What a shell makes of SIGINT and SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 1 (it failed), 78 (the configuration), or exits with 2 (usage)."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        return int(arguments.func(arguments))
    except WhisperdError as error:
        for line in error.message.splitlines():
            print(f"whisperd: {line}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter's own flush at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
