"""Where the server of a dataset is found."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from data_catalog.locks import LOCK_NAME, lock
from data_catalog.storage import Root
from flows.server import FILE, api_of, authority, find_server, join, page_of, password
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


class _Asked(BaseHTTPRequestHandler):
    """A server that lets in who knows its password."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == "Basic YW5uYTpzZWNyZXQ="
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def guarded(config: DatasetConfig, held: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the address of a server with a password that the dataset has."""
    for name in ("API_AUTH_STRING", "SERVER_API_AUTH_STRING", "FLOWS_HEARTBEAT_FREQUENCY"):
        # Set first, so that what is set meanwhile goes as well.
        monkeypatch.setenv(f"PREFECT_{name}", "")
        monkeypatch.delenv(f"PREFECT_{name}")
    monkeypatch.setenv("PREFECT_API_URL", "")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Asked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = f"http://127.0.0.1:{server.server_port}/api"
        announced(config, {"api": api, "pid": os.getpid()})
        yield api
        server.shutdown()


def test_runs_of_this_process_are_at_the_server_of_the_dataset(
    config: DatasetConfig, guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "anna:secret")
    assert join(config) is None
    assert os.environ["PREFECT_API_URL"] == guarded
    assert os.environ["PREFECT_API_AUTH_STRING"] == "anna:secret"
    assert os.environ["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "150"


def test_a_server_that_cannot_be_used_is_told_and_left(
    config: DatasetConfig, guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = join(config)
    assert told is not None
    assert page_of(guarded) in told
    assert "set PREFECT_API_AUTH_STRING=name:password" in told
    announced(config, {"api": "http://127.0.0.1:9/api", "pid": os.getpid()})
    told = join(config)
    assert told is not None
    assert "it does not answer" in told
    assert os.environ["PREFECT_API_URL"] == ""


def test_the_server_of_the_environment_is_left_alone(
    config: DatasetConfig, guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert join(config) is None
    assert os.environ["PREFECT_API_URL"] == "http://elsewhere/api"
    (home_of(config) / FILE).unlink()
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert join(config) is None
    assert os.environ["PREFECT_API_URL"] == ""
