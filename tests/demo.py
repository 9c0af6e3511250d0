"""`make demo`: start the daemon, send it a conversation of two people, print who said what."""

import sys
import tempfile
from pathlib import Path

from recordings import conversation
from running import Daemon


def main() -> int:
    """Run the demo; returns the exit status of `whisperd transcribe`."""
    with tempfile.TemporaryDirectory(prefix="whisperd-demo-") as directory:
        print("Starting the daemon ...", flush=True)
        with Daemon(Path(directory), {"WHISPERD_TRANSCRIBE__MODEL": "tiny.en"}) as daemon:
            health = daemon.health()
            print(f"It listens on {daemon.url} and has {health['model']} on the {health['device']}.")
            print("A telephone conversation of 30 seconds, as `whisperd transcribe --speakers` tells it:\n")
            done = daemon.command("transcribe", "--speakers", str(conversation()))
            print(done.stdout, end="")
            print(done.stderr, end="", file=sys.stderr)
            return done.returncode


if __name__ == "__main__":
    sys.exit(main())
