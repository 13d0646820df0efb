"""`nonesuch explore`, as people start and end it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.review_ui.site import Client
from tests.training.conftest import Trained, trained

__all__ = ["trained"]  # a fixture


@pytest.fixture
def config(trained: Trained, tmp_path: Path) -> Path:
    file = tmp_path / "nonesuch.toml"
    trained.copy_of(trained.plain, tmp_path)
    file.write_text(
        '[dataset]\nname = "boots"\nroot = "data"\n\n[train]\nfolder = "."\n\n'
        '[[sources]]\nkind = "folder"\npath = "none"\n'
    )
    return file


@contextmanager
def started(config: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "flows.cli", "explore", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "-c", str(config), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    found: str = json.loads(line)["address"]
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_ends_in_good_order(config: Path, number: signal.Signals) -> None:
    with started(config, "--device", "cpu") as process:
        client = Client(address(process))
        assert client.log_in("Ada").status == 200
        (run,) = client.get("/api/explore/models").json["runs"]
        place = f"/explore/{run['name']}/{run['snapshots'][0]['name']}/picture"
        look = quote(json.dumps({"look": {"seed": 7}}))
        assert client.get(f"{place}?look={look}").body[:2] == b"\xff\xd8"
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "Traceback" not in err


def test_who_reviews_is_logged_in_here_too(config: Path) -> None:
    token = "t" * 20
    config.write_text(config.read_text() + f'\n[review]\nadmin_token = "{token}"\n')
    with started(config) as process:
        first = Client(address(process))
        assert first.log_in("Ada").status == 401
        assert first.log_in("Ada", token).status == 200
    with started(config) as process:
        second = Client(address(process), cookie=first.cookie)
        assert second.get("/api/explore/models").status == 200


def test_others_are_not_let_in_without_a_token(config: Path) -> None:
    with started(config, "--host", "0.0.0.0") as process:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "`review.admin_token` is needed" in err
