"""What the runner refuses before it serves anything; the rest is in `test_events.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.world import REPOSITORY


@pytest.mark.parametrize(
    ("arguments", "api", "said"),
    [
        ([], "", "usage: python -m flows.serving.runner CONFIG"),
        (["nonesuch.toml"], "", "error: PREFECT_API_URL is not set"),
        (["nonesuch.toml"], "http://127.0.0.1:9/api", "nonesuch.toml does not exist"),
    ],
)
def test_without_a_server_or_a_configuration_it_does_not_start(
    tmp_path: Path, arguments: list[str], api: str, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.serving.runner", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PREFECT_API_URL": api, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert said in done.stderr
