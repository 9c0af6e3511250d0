"""What the API's description says is what happens: requests made from it, good and bad, against a daemon."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import Daemon, models_installed

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)

pytestmark = pytest.mark.engine


@pytest.mark.timeout(900)
def test_requests_made_from_the_description_get_the_answers_that_it_describes(tmp_path: Path) -> None:
    models_installed("tiny.en", "diarization")
    with Daemon(tmp_path) as daemon:
        command = [
            str(Path(sys.executable).with_name("st")),
            "run",
            f"{daemon.url}/openapi.json",
            "--checks",
            ",".join(CHECKS),
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "15",
            "--request-timeout",
            "100",  # a job that tells of its attempts does so for half a minute
            "--seed",
            "1",
            "--no-color",
            "--continue-on-failure",
        ]
        run = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"SCHEMATHESIS_HOOKS": "schema_hooks", "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
        )
        assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
        assert "Traceback" not in daemon.log()
        assert daemon.spooled() == []
