"""`whisperd serve`: run the daemon."""

import argparse
import gc


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve`, which sets `func`."""
    parser = subparsers.add_parser(
        "serve",
        help="run the daemon",
        description="Run the daemon in the foreground, until SIGTERM or SIGINT. `systemctl start whisperd` "
        "does this. The exit status is 78 when something is missing or wrong that starting again won't mend.",
    )
    parser.set_defaults(func=_run)


def _run(arguments: argparse.Namespace) -> int:
    # Imports make many objects and hardly any garbage; looking for it costs an eighth of the start.
    gc.disable()
    from whisperd.daemon import serve

    gc.freeze()
    gc.enable()
    return serve(arguments.config)
