"""What the review page asks of Prefect: a real server, deployments of ours, runs moved by hand."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.review.prefect import PrefectServer, ServerError, _check_same
from flows.review.work import Worker
from flows.settings import DatasetConfig, parse
from review_ui.errors import ReviewError
from review_ui.feed import Done
from review_ui.loop import KINDS, FlowTold, LoopTold, Options, VersionTold

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shoes")


def config_of(name: str, folder: Path) -> DatasetConfig:
    raw = {"dataset": {"name": name, "root": "catalog"}}
    return parse(raw, name="nonesuch.toml", folder=folder)


@pytest.fixture(scope="module")
def config(folder: Path) -> DatasetConfig:
    """A dataset of a name of its own: the server is shared by all tests."""
    return config_of(f"shoes-{uuid.uuid4().hex[:8]}", folder)


@pytest.fixture(scope="module")
def client(prefect_server: str) -> Iterator[Any]:
    from prefect.client.orchestration import get_client

    with pytest.MonkeyPatch.context() as patch, get_client(sync_client=True) as client:
        patch.setenv("PREFECT_API_URL", prefect_server)
        yield client


@pytest.fixture(scope="module")
def deployed(config: DatasetConfig, client: Any, folder: Path) -> None:
    """Have the deployments on the server; nobody works on them but the tests, each on its own."""
    from flows.serving.deployments import deployments

    for deployment in deployments(config, folder / "nonesuch.toml"):
        deployment.apply()


@pytest.fixture
def server(config: DatasetConfig, deployed: None) -> Iterator[PrefectServer]:
    with contextlib.closing(PrefectServer(config)) as server:
        yield server


def put(client: Any, run: str, kind: str, message: str = "") -> None:
    """Put a run into a state, as a runner does."""
    from prefect.client.schemas.objects import StateType
    from prefect.states import State

    state: Any = State(type=StateType(kind), message=message)
    client.set_flow_run_state(uuid.UUID(run), state, force=True)


def test_without_a_server_there_is_none(
    config: DatasetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with contextlib.closing(PrefectServer(config)) as server:
        assert server.state() is None
        assert not server.starts("train")


def test_a_server_without_our_deployments_starts_nothing(folder: Path, client: Any) -> None:
    with contextlib.closing(PrefectServer(config_of("others", folder))) as server:
        assert not server.starts("train")
        state = server.state()
    assert state is not None
    assert (state.server.is_up, state.server.deployed) == (True, [])


def test_a_server_that_does_not_answer_is_said_to_be_down(
    config: DatasetConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    with contextlib.closing(PrefectServer(config)) as server:
        state = server.state()
        assert state is not None
        assert (state.server.url, state.server.is_up) == (f"http://127.0.0.1:{port}", False)
        worker = Worker(tmp_path / "nonesuch.toml", server, LoopTold)
        monkeypatch.setattr("flows.review.work._TRY_FOR", 0.5)
        with pytest.raises(ReviewError, match=r"does not answer.*try again in a moment"):
            worker("train", Options(), lambda *_: None)


def test_a_run_is_started_once_and_seen_until_its_end(
    server: PrefectServer, client: Any, folder: Path
) -> None:
    assert all(server.starts(kind) for kind in KINDS)
    asked = {"version": 1, "preset": "tiny"}
    flow = server.start("train", asked, "one")
    assert flow.state == "waiting"
    assert flow.url.endswith(f"/runs/flow-run/{flow.id}")
    parameters = client.read_flow_run(uuid.UUID(flow.id)).parameters
    assert parameters == {"config_file": str(folder / "nonesuch.toml"), **asked}
    # Whoever wishes for the same gets the same, and not another one.
    assert server.start("train", {}, "two").id == flow.id
    with pytest.raises(ServerError, match="`version` 1 and not 2"):
        server.start("train", {"version": 2}, "three")
    assert server.progress(flow.id, "train").stage == "waiting: no runner asks for work"
    put(client, flow.id, "RUNNING")
    now = server.progress(flow.id, "train")
    assert (now.flow.state, now.stage, now.percent) == ("running", "starting", None)
    state = server.state()
    assert state is not None
    assert [(found.id, found.state) for found in state.flows if found.kind == "train"] == [
        (flow.id, "running")
    ]
    put(client, flow.id, "FAILED", "Flow run encountered an exception: SetupError: no GPU")
    assert server.progress(flow.id, "train").flow.message == "no GPU"
    assert server.start("train", {"version": 2}, "four").id != flow.id


def test_a_training_that_an_event_has_started_is_of_its_version() -> None:
    flow = FlowTold(
        id="x", kind="train", state="running", message="", started_at=NOW, ended_at=None, url=""
    )
    by_event = {"config_file": "nonesuch.toml", "published": {"version": 3, "hash": "abc"}}
    by_person = {"config_file": "nonesuch.toml", "version": 3, "published": None}
    for running in (by_event, by_person):
        _check_same(flow, running, {"version": 3})
        with pytest.raises(ServerError, match="`version` 3 and not 4"):
            _check_same(flow, running, {"version": 4})


def test_what_the_clock_starts_next_is_told(server: PrefectServer, client: Any) -> None:
    from prefect.states import Scheduled

    for kind, hours in (("rebuild", 5), ("rebuild", 2), ("rank", 3)):
        name = f"{kind}/{server._config.dataset.name}"
        deployment = client.read_deployment_by_name(name)
        at = NOW + timedelta(hours=hours)
        client.create_flow_run_from_deployment(deployment.id, state=Scheduled(scheduled_time=at))
    state = server.state()
    assert state is not None
    assert not any(found.kind in ("rebuild", "rank") for found in state.flows)
    assert [(found.kind, found.at) for found in state.schedules] == [
        ("rebuild", NOW + timedelta(hours=2)),
        ("rank", NOW + timedelta(hours=3)),
    ]


@pytest.mark.parametrize(
    ("kind", "message", "words"),
    [
        ("COMPLETED", "", "Version 3: 1,200 items in 2 shards"),
        ("CRASHED", "its process was killed", "its process was killed; Prefect's page tells more"),
        ("CANCELLED", "", "it was stopped; Prefect's page tells more"),
    ],
)
def test_work_is_handed_over_and_its_end_is_told(
    server: PrefectServer, client: Any, tmp_path: Path, kind: str, message: str, words: str
) -> None:
    versions: list[VersionTold] = []
    told: list[tuple[str, str | None]] = []
    began = threading.Event()

    def tell(stage: str, _done: int, _total: int, url: str | None = None) -> None:
        told.append((stage, url))
        began.set()

    def play_runner() -> None:
        assert began.wait(60)
        state = server.state()
        assert state is not None
        run = (told[0][1] or "").rpartition("/")[2]
        put(client, run, "RUNNING")
        versions.append(VersionTold(version=3, items=1_200, shards=2, published_at=NOW))
        put(client, run, kind, message)

    worker = Worker(tmp_path / "none.toml", server, lambda: LoopTold(versions=list(versions)))
    runner = threading.Thread(target=play_runner)
    runner.start()
    try:
        if kind == "COMPLETED":
            assert worker("publish", Options(), tell) == Done(words, 3, 1_200, 2)
        else:
            with pytest.raises(ReviewError, match=words):
                worker("publish", Options(), tell)
    finally:
        runner.join()
    assert told[0][0] == "handed to Prefect"


def test_who_stops_the_page_does_not_stop_what_prefect_runs(
    server: PrefectServer, client: Any, tmp_path: Path
) -> None:
    worker = Worker(tmp_path / "none.toml", server, LoopTold)
    urls: list[str | None] = []

    def tell(_stage: str, _done: int, _total: int, url: str | None = None) -> None:
        urls.append(url)
        worker.close()

    with pytest.raises(ReviewError, match="Prefect goes on"):
        worker("rank", Options(), tell)
    run = (urls[0] or "").rpartition("/")[2]
    assert client.read_flow_run(uuid.UUID(run)).state.is_scheduled()
    with pytest.raises(ReviewError, match="stopping"):
        worker("rank", Options(), tell)
