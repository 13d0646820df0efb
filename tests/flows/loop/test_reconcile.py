"""What is due is started, once, whatever stands in the way of something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flows.settings import ConfigError
from tests.flows.deploying import config_of, register
from tests.flows.review.told_runs import write_run
from tests.flows.running import Server
from tests.flows.trainable import publish_pictures

pytestmark = pytest.mark.xdist_group("prefect")


def test_what_is_due_is_started_once(
    client: Any, loop_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client
    from flows.loop.reconcile import reconcile
    from flows.loop.starts import Starter

    config = config_of(tmp_path, "due")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    version = publish_pictures(tmp_path / "catalog")
    with pytest.raises(ConfigError, match="no Prefect server runs for this dataset"):
        reconcile(config)
    monkeypatch.setenv("PREFECT_API_URL", loop_server.api)
    register(config, tmp_path / "nonesuch.toml")
    early = reconcile(config, ripe=frozenset())  # its event may be under way
    assert early.told == []
    (told,) = reconcile(config, ripe=early.due).told
    assert told.startswith("train started: version 1 has no run; it is the first one")
    assert reconcile(config).told == []
    with Starter(loop_server.api, "due") as starter:
        (run,) = starter.runs_like("train", {})
    assert run.parameters["published"] == {"version": 1, "hash": version.hash}


def test_what_the_server_refuses_keeps_nothing_waiting(
    client: Any, loop_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Crashed

    from flows.loop.reconcile import reconcile
    from flows.loop.starts import Starter

    monkeypatch.setenv("PREFECT_API_URL", loop_server.api)
    config = config_of(tmp_path, "refused")
    register(config, tmp_path / "nonesuch.toml")
    publish_pictures(tmp_path / "catalog")
    with Starter(loop_server.api, "refused") as starter:
        # A rebuild that was killed, and a training that the server knows nothing about any more.
        rebuild = starter.start("rebuild", {})
        client.set_flow_run_state(UUID(rebuild.id), Crashed(), force=True)
    start = Starter.start

    def refuse(self: Starter, flow: str, *arguments: Any) -> Any:
        if flow == "train":
            raise ConfigError("train/refused is refused: no such parameter")
        return start(self, flow, *arguments)

    monkeypatch.setattr(Starter, "start", refuse)
    publish = client.read_deployment_by_name("publish/refused")
    client.delete_deployment(publish.id)
    found = reconcile(config)
    refused, unknown = found.refused
    assert refused == "train/refused is refused: no such parameter"
    assert "has no deployment publish/refused" in unknown
    (told,) = found.told
    assert told.startswith("rebuild started again")


def test_what_cannot_be_registered_keeps_nothing_waiting(
    client: Any, loop_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client
    from flows.loop.reconcile import reconcile

    monkeypatch.setenv("PREFECT_API_URL", loop_server.api)
    config = config_of(tmp_path, "damaged", loop={"min_decisions": 0})
    register(config, tmp_path / "nonesuch.toml")
    old = publish_pictures(tmp_path / "catalog")
    publish_pictures(tmp_path / "catalog", first=1)
    snapshot = "kimg-000002.000"
    run = write_run(
        tmp_path / "catalog" / "models",
        "v1-tiny",
        version_hash=old.hash,
        snapshots=(snapshot,),
        newest_snapshot=snapshot,
    )
    (run / "config.json").write_text("{ half")
    told = reconcile(config).told
    assert [line.partition(":")[0] for line in told] == [
        "run v1-tiny is not registered",
        "train started",
    ]


@pytest.mark.parametrize(
    ("flow", "parameters"), [("publish", {"whole": True}), ("rank", {"model": "v1-tiny@1"})]
)
def test_an_order_that_was_interrupted_is_carried_out_again(
    client: Any,
    loop_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flow: str,
    parameters: dict[str, Any],
) -> None:
    from prefect import states

    from flows.loop.reconcile import reconcile
    from flows.loop.starts import Starter

    monkeypatch.setenv("PREFECT_API_URL", loop_server.api)
    name = f"ordered-{flow}"
    config = config_of(tmp_path, name, schedules={flow: "0 0 1 1 *"})
    register(config, tmp_path / "nonesuch.toml")

    def end(state: Any) -> None:
        with Starter(loop_server.api, name) as starter:
            (run, *_) = (r for r in starter.runs_like(flow, {}) if not r.auto_scheduled)
        client.set_flow_run_state(run.id, state, force=True)

    with Starter(loop_server.api, name) as starter:
        starter.start(flow, parameters)
        assert reconcile(config).told == []  # it waits for its turn
        end(states.Crashed())
        # The clock's, while it ran: there was no place for it.
        starter.start(flow, {})
    end(states.Cancelled(message="Deployment concurrency limit reached."))
    (told,) = reconcile(config).told
    assert told.startswith(f"{flow} started again: it was interrupted")
    with Starter(loop_server.api, name) as starter:
        assert len(starter.runs_like(flow, parameters)) == 2
    assert reconcile(config).told == []
    end(states.Cancelled(message="Runner is shutting down."))
    assert len(reconcile(config).told) == 1
    end(states.Completed())
    assert reconcile(config).told == []
