"""`whisperd serve`: run the daemon."""

import argparse


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
    from whisperd.daemon import serve

    return serve(arguments.config)
