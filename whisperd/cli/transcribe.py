"""`whisperd transcribe`: send recordings to the daemon, and print what is said in them."""

import argparse
import asyncio
import functools
import io
import os
import sys
from pathlib import Path
from typing import Final

from whisperd.cli.client import Client, Recording, Refused, Server, Unreachable, size_of
from whisperd.cli.uploads import shown

_DEFAULT_SERVER: Final = "http://127.0.0.1:8000"
_STDIN: Final = "-"
_SUFFIXES: Final = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}
_SWITCHES: Final = ("multilingual", "condition_on_previous_text", "drop_doubted")
"""Fields that are true where an option of the same name is given."""
_EXAMPLES: Final = """\
examples:
  whisperd transcribe lecture.mp3
  whisperd transcribe meeting.m4a --speakers --format srt --output meeting.srt
  whisperd transcribe *.wav --format json --words --output transcripts/
  ffmpeg -i film.mkv -f wav - | whisperd transcribe -
  whisperd transcribe call.ogg --server http://speech.lan:8000
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `transcribe`, which sets `func`."""
    parser = subparsers.add_parser(
        "transcribe",
        help="send recordings to the daemon, and print what is said in them",
        description="Send recordings to the running daemon, one after the other, and print what is said\n"
        "in them. When one fails, its error is told and the others are still done; the exit\n"
        "status is then 1. Where the daemon wants a key, it is taken from WHISPERD_KEY.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help='a recording; "-" is standard input')
    parser.add_argument(
        "--format", choices=list(_SUFFIXES), default="text", help="what to print (default: %(default)s)"
    )
    parser.add_argument(
        "--output", metavar="PATH", help="write to this file, or into this directory (needed for several)"
    )
    parser.add_argument("--words", action="store_true", help="with the time of each word (in json)")
    parser.add_argument(
        "--drop-doubted",
        action="store_true",
        help="leave out text that may be made up; otherwise it is marked (in json) and warned of",
    )
    parser.add_argument(
        "--condition-on-previous-text",
        action="store_true",
        help="let the decoder know what was said before; slower",
    )

    hints = parser.add_argument_group("what is known about the recording")
    hints.add_argument("--language", metavar="CODE", help="the language spoken, such as en")
    hints.add_argument(
        "--multilingual", action="store_true", help="the language may change on the way; without --language"
    )
    hints.add_argument("--prompt", metavar="TEXT", help="text whose style and names are taken up")
    hints.add_argument(
        "--speakers", action="store_true", help="tell the speakers apart; the three below imply it"
    )
    hints.add_argument("--num-speakers", type=int, metavar="N", help="how many there are")
    hints.add_argument("--min-speakers", type=int, metavar="N", help="how many there are at least")
    hints.add_argument("--max-speakers", type=int, metavar="N", help="how many there are at most")

    service = parser.add_argument_group("the daemon")
    service.add_argument("--model", metavar="NAME", help="the model to use (default: the daemon's)")
    service.add_argument(
        "--server",
        type=_server,
        metavar="URL",
        default=os.environ.get("WHISPERD_SERVER") or _DEFAULT_SERVER,
        help=f"http://HOST:PORT or unix:/PATH (default: WHISPERD_SERVER, or {_DEFAULT_SERVER})",
    )
    parser.set_defaults(func=functools.partial(_run, parser))


def _server(text: str) -> Server:
    try:
        return Server.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if arguments.words and arguments.format != "json":
        parser.error("--words needs --format json")
    if len(arguments.files) > 1 and not arguments.output and arguments.format in ("srt", "vtt"):
        parser.error("subtitles of several recordings need --output DIRECTORY")
    if _STDIN in arguments.files and sys.stdin.isatty():
        parser.error("nothing is piped into standard input")
    targets = _targets(arguments)
    written = [target for target in targets if target]
    if len(set(written)) < len(written):
        parser.error("two of the recordings would be written to one file; their names differ in nothing else")
    return asyncio.run(_transcribe(arguments, targets))


def _targets(arguments: argparse.Namespace) -> list[Path | None]:
    """Where each recording's transcript goes; None is standard output."""
    if not arguments.output:
        return [None for _ in arguments.files]
    output = Path(arguments.output)
    if len(arguments.files) == 1 and not arguments.output.endswith("/") and not output.is_dir():
        return [output]
    suffix = _SUFFIXES[arguments.format]
    return [output / f"{'stdin' if file == _STDIN else Path(file).stem}{suffix}" for file in arguments.files]


def _fields(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """The form that goes with each recording."""
    given = {
        "model": arguments.model or "whisper-1",  # a required field; this name is every server's default
        "response_format": "verbose_json" if arguments.format == "json" else arguments.format,
        "language": arguments.language,
        "prompt": arguments.prompt,
        "num_speakers": arguments.num_speakers,
        "min_speakers": arguments.min_speakers,
        "max_speakers": arguments.max_speakers,
    }
    fields = [(name, str(value)) for name, value in given.items() if value is not None]
    fields += [(name, "true") for name in _SWITCHES if getattr(arguments, name)]
    if arguments.speakers or any(name.endswith("_speakers") for name, _ in fields):
        fields.append(("diarize", "true"))
    if arguments.format == "json":
        fields.append(("timestamp_granularities[]", "segment"))
    if arguments.words:
        fields.append(("timestamp_granularities[]", "word"))
    return fields


async def _transcribe(arguments: argparse.Namespace, targets: list[Path | None]) -> int:
    status = 0
    fields = _fields(arguments)
    # Not an option: every user of this machine sees the options of a command.
    async with Client(arguments.server, os.environ.get("WHISPERD_KEY")) as client:
        for file, target in zip(arguments.files, targets, strict=True):
            name = "standard input" if file == _STDIN else file
            try:
                text = await _one(client, file, name, fields)
                _write(text, target, heading=name if len(arguments.files) > 1 else None)
            except Unreachable as error:
                _complain(error.message)
                return 1
            except Refused as error:
                _complain(f"{name}: {error.message}")
                status = 1
            except BrokenPipeError:
                raise
            except OSError as error:
                _complain(f"{error.filename or name}: {error.strerror}")
                status = 1
    return status


async def _one(client: Client, file: str, name: str, fields: list[tuple[str, str]]) -> bytes:
    """The transcript of one recording, and its warnings told."""
    raw = io.FileIO(sys.stdin.fileno(), closefd=False) if file == _STDIN else io.FileIO(file)
    with raw, shown(Path(name).name, size_of(raw)) as moved:
        answer = await client.transcribe(Recording(raw, Path(name).name, moved), fields)
    for warning in answer.warnings:
        _complain(f"{name}: warning: {warning}")
    return answer.body if answer.body.endswith(b"\n") else answer.body + b"\n"


def _write(text: bytes, target: Path | None, heading: str | None) -> None:
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text)
        return
    if heading and not text.startswith(b"{"):
        print(f"==> {heading} <==", flush=True)
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _complain(line: str) -> None:
    print(f"whisperd: {line}", file=sys.stderr)
