"""Fetching from the Hugging Face hub, or from a mirror of it that HF_ENDPOINT names."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from whisperd.models.checksum import matches
from whisperd.models.progress import Moved, Progress
from whisperd.models.sources import File, HubSource, SourceUnavailable

PROBE_TIMEOUT_S: Final = 5.0
"""An unreachable hub costs this much before the next source is tried."""


def fetch(source: HubSource, files: list[File], target: Path, scratch: Path, progress: Progress) -> None:
    """Put `files` into `target`, each verified; what has come of one stays in `scratch` for the next attempt.

    Raises SourceUnavailable, and OSError of the disk.
    """
    # Read when huggingface_hub is imported. Its own storage protocol keeps no partial files.
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HTTPError
    from huggingface_hub.utils import build_hf_headers

    # A stale token must not get in the way of what needs none.
    token = (huggingface_hub.get_token() or False) if source.gated else False
    try:
        huggingface_hub.get_hf_file_metadata(_url(source, files[0]), token=token, timeout=PROBE_TIMEOUT_S)
        headers = build_hf_headers(token=token, library_name="whisperd")
        for file in files:
            part = scratch / f"{file.sha256}.part"
            _complete(part, file, _url(source, file), headers, progress)
            path = target / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            part.rename(path)
    except GatedRepoError as error:
        raise SourceUnavailable(_gate(source, with_token=bool(token))) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if token and status == 401:
            raise SourceUnavailable("the hub does not know the token in HF_TOKEN") from error
        raise SourceUnavailable(f"the hub answered with status {status}") from error
    except (HTTPError, ConnectionError) as error:
        raise SourceUnavailable(f"the hub can't be reached ({str(error) or type(error).__name__})") from error
    except OSError as error:
        if error.errno is not None:
            raise  # of the disk
        raise SourceUnavailable("the hub broke off, or gave more than it should") from error


def _url(source: HubSource, file: File) -> str:
    from huggingface_hub import hf_hub_url

    return str(hf_hub_url(source.repository, file.path, revision=source.revision))


def _complete(part: Path, file: File, url: str, headers: dict[str, str], progress: Progress) -> None:
    """Go on with `part` from where it ends until it is `file`."""
    from huggingface_hub.file_download import http_get

    done = part.stat().st_size if part.exists() else 0
    if done > file.size:
        part.unlink()
        done = 0
    with progress.transfer(file.path, file.size) as moved, part.open("ab") as stream:
        moved(done)
        http_get(
            url, stream, resume_size=done, headers=headers, expected_size=file.size, tqdm_class=_bar(moved)
        )
    if not matches(part, file):
        part.unlink()
        raise SourceUnavailable(f"what the hub gave as {file.path} has the wrong size or SHA-256")


def _gate(source: HubSource, *, with_token: bool) -> str:
    page = f"https://huggingface.co/{source.repository}"
    if with_token:
        return (
            f"the account of the token in HF_TOKEN has not accepted the conditions of {source.repository}: "
            f"open {page}, accept them, and pull again"
        )
    return (
        f"{source.repository} is given only to an account that accepted its conditions: open {page}, accept "
        f"them, make a token that may read it, and pull again with the token in HF_TOKEN"
    )


def _bar(moved: Moved) -> type:
    """A stand-in for tqdm's bar, which is what `http_get` reports to."""

    class Bar:
        def __init__(self, *, initial: int = 0, **_others: Any) -> None:
            self._done = initial

        def update(self, count: int) -> None:
            self._done += count
            moved(self._done)

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            traceback: TracebackType | None,
        ) -> None:
            return None

    return Bar
