"""The loop by itself: published, trained, ranked, by a real server and a real runner.

The tests build upon each other: a server, a runner and a dataset are too dear to be made for each.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.compute as pc
import pytest

from data_catalog import models
from data_catalog.versions import load_version
from flows import events
from flows.loop import due, notes
from flows.settings import ConfigError, DatasetConfig, load, parse
from flows.trainings.runs import summaries
from tests.flows.running import Runner, Server, run, wait_for
from tests.flows.trainable import TRAIN
from tests.flows.world import World, fill
from training.runs.record import list_runs

pytestmark = pytest.mark.xdist_group("prefect")

OFF = {name: {"action": "off"} for name in ("too_small", "too_few_bytes", "near_duplicate")}
RAW = {
    "sources": [{"kind": "folder", "path": "images"}],
    "recipe": {"width": 12, "height": 16, "format": "png"},
    "rules": OFF,
    "run": {"workers": 1},
    "rank": {"device": "cpu", "shuffles": 2},
    "train": TRAIN,
}
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Loop:
    """A dataset that is served, and what is asked of its server."""

    world: World
    server: Server
    runner: Runner
    config: DatasetConfig

    def order(self, flow: str, **parameters: Any) -> str:
        """Start a deployment; gives the id of its run."""
        from flows.loop.starts import Starter

        with Starter(self.server.api, "shoes") as starter:
            return starter.start(flow, parameters).id

    def run(self, identity: str) -> Any:
        from prefect.client.orchestration import SyncPrefectClient

        with SyncPrefectClient(self.server.api) as client:
            return client.read_flow_run(identity)

    def ended(self, identity: str) -> Any:
        """Give the state in which a run ends."""

        def state() -> Any:
            assert self.runner.process.poll() is None, self.runner.said
            found = self.run(identity).state
            return found if found.type.value in ENDED else None

        return wait_for(state, f"the end of run {identity}")

    def runs_of(self, flow: str) -> list[Any]:
        """Give the runs of a deployment, the newest first."""
        from flows.loop.starts import Starter

        with Starter(self.server.api, "shoes") as starter:
            return starter.runs_like(flow, {})

    def ended_runs(self, flow: str, count: int) -> list[Any]:
        """Wait until a deployment has had so many runs, or more, and all have ended."""

        def runs() -> Any:
            found = self.runs_of(flow)
            done = [r for r in found if r.state is not None and r.state.type.value in ENDED]
            return found if len(found) == len(done) >= count else None

        return list(wait_for(runs, f"{count} ended runs of {flow}"))


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    prefect_server: str,
    _warm_workers: None,
    loop_server: Server,
) -> Iterator[Loop]:
    world = World(tmp_path_factory.mktemp("loop"), prefect_server, raw=RAW)
    fill(world.images, range(16))
    world.rebuild()
    file = world.write_config()
    with run(loop_server, file) as runner, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", loop_server.api)
        yield Loop(world, loop_server, runner, load(file))


# ---- An event alone. -----------------------------------------------------------------------------


class _Taken(BaseHTTPRequestHandler):
    """Takes events, and answers as its class says."""

    status: ClassVar[int] = 204
    seen: ClassVar[list[tuple[str, dict[str, str], Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Taken]]:
    class Taken(_Taken):
        seen: ClassVar[list[tuple[str, dict[str, str], Any]]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Taken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
        yield Taken
        server.shutdown()


@pytest.mark.parametrize("variable", ["PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"])
def test_an_event_says_what_happened_to_which_dataset(
    taken: type[_Taken], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    config = parse({"dataset": {"name": "shoes"}}, name="test", folder=tmp_path)
    monkeypatch.setenv(variable, "anna:secret")
    assert events.version_published(config, 3, "abc")
    assert events.model_trained(config, "v3-tiny@kimg-1")
    (path, headers, (published,)), (_, _, (trained,)) = taken.seen
    assert path == "/api/events"
    assert headers["Authorization"] == "Basic YW5uYTpzZWNyZXQ="
    assert published["event"] == "nonesuch.version.published"
    assert published["resource"]["prefect.resource.id"] == "nonesuch.dataset.shoes"
    assert published["payload"] == {"dataset": "shoes", "version": 3, "hash": "abc"}
    assert trained["payload"] == {"dataset": "shoes", "model": "v3-tiny@kimg-1"}
    assert published["id"] != trained["id"]


def test_an_event_that_nobody_takes_is_no_error(
    taken: type[_Taken], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = parse({"server": {"home": "home"}}, name="test", folder=tmp_path)
    taken.status = 500
    assert not events.version_published(config, 1, "abc")
    for api in ("http://127.0.0.1:9/api", "nonsense", "http://[", ""):
        monkeypatch.setenv("PREFECT_API_URL", api)
        assert not events.version_published(config, 1, "abc")


# ---- The loop. -----------------------------------------------------------------------------------


def test_a_dataset_in_use_is_told_of_and_two_rebuilds_are_one(served: Loop) -> None:
    with served.world.catalog.lock("a test"):
        first = served.order("rebuild", wait=0)
        wait_for(lambda: served.run(first).state.type.value != "SCHEDULED", "the first")
        second = served.order("rebuild", wait=0)
        failed, refused = served.ended(first), served.ended(second)
    assert failed.type.value == "FAILED"
    assert f"process {os.getpid()} holds it for 'a test' since" in failed.message
    assert refused.type.value == "CANCELLED"
    assert "concurrency limit reached" in refused.message


def test_wrong_parameters_are_refused_before_anything_runs(served: Loop) -> None:
    before = len(served.runs_of("train"))
    for wrong in ({"version": -1}, {"published": {"version": 1}}, {"settings": 3}):
        with pytest.raises(ConfigError, match="train/shoes is refused"):
            served.order("train", **wrong)
    assert len(served.runs_of("train")) == before


def test_what_is_published_is_trained_and_ranked(served: Loop) -> None:
    served.world.publish()  # at another server: the event goes where it is waited for
    version = load_version(served.world.catalog)
    *_, trained = served.ended_runs("train", 1)
    assert trained.state.type.value == "COMPLETED", trained.state.message
    assert trained.parameters["published"] == {"version": 1, "hash": version.hash}
    (found,) = list_runs(served.world.folder / "catalog" / "models")
    assert (found.status, found.version_hash) == ("finished", version.hash)

    *_, ranked = served.ended_runs("rank", 1)
    assert ranked.state.type.value == "COMPLETED", ranked.state.message
    current = models.current(served.world.catalog)
    assert current is not None
    assert ranked.parameters["model"] == current.model == "v1-tiny@kimg-000000.032"
    scores = served.world.table("scores")
    scores = scores.filter(pc.equal(scores["model"], current.model))
    assert (scores.num_rows, scores["percentile"].null_count) == (16, 0)
    # People see it at once: the set was judged with the scores.
    assert pc.count(served.world.table("verdicts")["d_percentile"]).as_py() == 16
    assert due.due(served.config) == []
    assert notes.read_begun(served.world.catalog) == []


def test_prefects_page_shows_what_came_of_it(served: Loop) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import ArtifactFilter

    with SyncPrefectClient(served.server.api) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter())
    pictures = {
        # Of the judgement that followed the ranking.
        "rebuild-funnel": "data:image/svg+xml;base64,",
        "rebuild-pictures": "data:image/jpeg;base64,",
        "training-samples": "data:image/jpeg;base64,",
        "training-curves": "data:image/svg+xml;base64,",
    }
    by_key = {artifact.key: artifact.data for artifact in found}
    for key, kind in pictures.items():
        assert kind in str(by_key[key])
    assert by_key["training-progress"] == 100.0
    # Brought up to date in place.
    keys = [artifact.key for artifact in found]
    assert keys.count("training-samples") == keys.count("training-curves") == 1


def test_the_same_event_again_trains_nothing(served: Loop) -> None:
    version = load_version(served.world.catalog)
    before = len(served.runs_of("train"))
    assert events.version_published(served.config, version.version, version.hash)
    latest, *_ = served.ended_runs("train", before + 1)
    assert latest.state.type.value == "COMPLETED"
    assert latest.state.message == "version 1 is not trained, it is trained: run v1-tiny"
    assert len(summaries(served.config)) == 1


def test_a_training_ends_in_good_order_with_its_runner_and_goes_on(served: Loop) -> None:
    settings = {"run.total_kimg": 1000.0}
    order = served.order("train", version=1, run="long", settings=settings)
    folder = served.world.folder / "catalog" / "models" / "long"

    def has_trained() -> bool:
        return (folder / "ticks.jsonl").is_file()

    wait_for(has_trained, "a tick")
    assert served.runner.stop() == 0
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "stopped"
    assert served.run(order).state.is_final()
    (begun,) = notes.read_begun(served.world.catalog)
    assert begun.asked
    (item,) = due.due(served.config)
    assert (item.kind, Path(item.run).name) == ("train", "long")
    assert item.options.settings == settings
