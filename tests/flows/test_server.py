"""Where the server of a dataset is found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_catalog.locks import LOCK_NAME, lock
from data_catalog.storage import Root
from flows.server import FILE, api_of, authority, find_server, page_of, password
from flows.settings import DatasetConfig, parse

API = "http://127.0.0.1:4321/api"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetConfig:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return parse({"server": {"home": "home"}}, name="test", folder=tmp_path)


def home_of(config: DatasetConfig) -> Path:
    home = config.server.home
    assert home is not None
    home.mkdir(exist_ok=True)
    return home


def announced(config: DatasetConfig, content: Any) -> str | None:
    file = home_of(config) / FILE
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return find_server(config)


@pytest.fixture
def held(config: DatasetConfig) -> Iterator[None]:
    """As `nonesuch up` holds its home while it runs."""
    with lock(Root(home_of(config)), "nonesuch up"):
        yield


def test_a_server_is_there_while_its_home_is_held(config: DatasetConfig) -> None:
    assert find_server(config) is None
    with lock(Root(home_of(config)), "nonesuch up"):
        assert find_server(config) is None
        assert announced(config, {"api": API, "more": 1}) == API
    assert find_server(config) is None


def test_a_process_that_has_the_number_of_a_dead_one_is_no_server(config: DatasetConfig) -> None:
    mine = {"api": API, "pid": os.getpid()}
    assert announced(config, mine) is None
    # As it is left by one that was killed.
    (home_of(config) / LOCK_NAME).write_text(json.dumps({"pid": os.getpid()}))
    assert announced(config, mine) is None


def test_looking_keeps_nobody_from_holding_the_home(config: DatasetConfig) -> None:
    with lock(Root(home_of(config)), "nonesuch up"):
        pass
    for _ in range(3):
        assert announced(config, {"api": API}) is None
        with lock(Root(home_of(config)), "nonesuch up"):
            assert find_server(config) == API


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        {"pid": 1},
        {"api": "", "pid": 1},
    ],
)
@pytest.mark.usefixtures("held")
def test_a_damaged_announcement_is_none(config: DatasetConfig, content: Any) -> None:
    assert announced(config, content) is None


@pytest.mark.usefixtures("held")
def test_the_environment_wins(config: DatasetConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    announced(config, {"api": API, "pid": os.getpid()})
    assert api_of(config) == API
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert api_of(config) == "http://elsewhere/api"
    assert page_of("http://elsewhere/api/") == "http://elsewhere"


def test_who_knows_the_password_of_the_server_sends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    assert (password(), authority()) == ("", {})
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "anna:secret")
    assert authority() == {"Authorization": "Basic YW5uYTpzZWNyZXQ="}
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "bert:other")
    assert password() == "bert:other"
