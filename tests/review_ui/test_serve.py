"""The server as it is started for people: where it listens, and what it writes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from data_catalog.catalog import Catalog
from review_ui import serve as module
from review_ui.desk import Desk, open_desk
from review_ui.serve import serve
from review_ui.settings import ReviewConfig
from review_ui.store.database import open_database
from tests.review_ui.site import Client, Stub


@contextlib.contextmanager
def running(
    folder: Path, config: ReviewConfig, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Desk]]:
    """Serve as `nonesuch review` does until the body ends; give the address and the desk."""
    servers: list[uvicorn.Server] = []

    class Kept(uvicorn.Server):
        def __init__(self, settings: uvicorn.Config) -> None:
            super().__init__(settings)
            servers.append(self)

    monkeypatch.setattr(module.uvicorn, "Server", Kept)
    database = open_database(f"sqlite:///{folder}/review.sqlite")
    desk = open_desk("shoes", config, Catalog(folder / "catalog"), database, Stub(build=""))
    ready = threading.Event()
    addresses: list[str] = []

    def tell(address: str) -> None:
        addresses.append(address)
        ready.set()

    thread = threading.Thread(target=serve, args=(desk, tell), daemon=True)
    thread.start()
    try:
        assert ready.wait(20)
        yield addresses[0], desk
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(20)


def test_it_is_served_at_an_ipv6_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    # Another way to write it; browsers write the short one.
    config = ReviewConfig(host="0:0:0:0:0:0:0:1", port=0)
    with running(tmp_path, config, monkeypatch) as (address, _):
        port = address.rstrip("/").rpartition(":")[2]
        client = Client(f"http://[::1]:{port}/")
        assert client.log_in("ann").status == 200
        assert client.get("/api/session").json["name"] == "ann"


def test_what_nobody_foresaw_is_written_where_the_server_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("told to whoever runs it")

    with running(tmp_path, ReviewConfig(port=0), monkeypatch) as (address, desk):
        client = Client(address)
        assert client.log_in("ann").status == 200
        monkeypatch.setattr(desk.jobs, "state", fail)
        assert client.get("/api/jobs/publish").json["error"] == "internal"
    said = capfd.readouterr().err
    assert "Traceback" in said
    assert "told to whoever runs it" in said
