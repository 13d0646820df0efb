"""Where the server of a dataset is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.server import FILE, api_of, find_server, page_of
from flows.settings import DatasetConfig, parse

API = "http://127.0.0.1:4321/api"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetConfig:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return parse({"server": {"home": "home"}}, name="test", folder=tmp_path)


def announced(config: DatasetConfig, content: Any) -> str | None:
    home = config.server.home
    assert home is not None
    home.mkdir(exist_ok=True)
    (home / FILE).write_text(content if isinstance(content, str) else json.dumps(content))
    return find_server(config)


def test_a_server_is_there_while_its_process_is(config: DatasetConfig) -> None:
    assert find_server(config) is None
    assert announced(config, {"api": API, "pid": os.getpid(), "more": 1}) == API
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert announced(config, {"api": API, "pid": int(ended.stdout)}) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        {"api": API},
        {"pid": 1},
        {"api": "", "pid": 1},
        {"api": API, "pid": 0},
        {"api": API, "pid": "x"},
        {"api": API, "pid": -1},
        {"api": API, "pid": 10**30},
    ],
)
def test_a_damaged_announcement_is_none(config: DatasetConfig, content: Any) -> None:
    assert announced(config, content) is None


def test_the_environment_wins(config: DatasetConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    announced(config, {"api": API, "pid": os.getpid()})
    assert api_of(config) == API
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert api_of(config) == "http://elsewhere/api"
    assert page_of("http://elsewhere/api/") == "http://elsewhere"
