"""Deployments, schedules and automations as a real server has them, and what starts again when."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from data_catalog.errors import ConflictError
from flows.loop import notes
from flows.loop.notes import Begun
from flows.server import page_of
from flows.settings import ConfigError, DatasetConfig, parse
from flows.trainings.launch import TrainOptions
from tests.flows.deploying import config_of, register
from tests.flows.running import Server
from tests.flows.trainable import TRAIN, publish_pictures
from tests.flows.world import Outcome

pytestmark = pytest.mark.xdist_group("prefect")

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = ("rebuild", "publish", "train", "rank", "reconcile")


def schedules(client: Any, name: str) -> list[tuple[str, str, bool]]:
    found = client.read_deployment_by_name(name).schedules
    return [(s.schedule.cron, s.schedule.timezone, s.active) for s in found]


def automations_of(client: Any, dataset: str) -> dict[str, Any]:
    found = [a for a in client.read_automations() if a.name.startswith(f"nonesuch {dataset}: ")]
    assert len({a.name for a in found}) == len(found)
    return {a.name.partition(": ")[2]: a for a in found}


def test_there_is_one_of_each_flow_and_one_run_at_a_time(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "nonesuch.toml"
    ids = register(config_of(tmp_path), file)
    assert tuple(ids) == NAMES
    for name in NAMES:
        deployment = client.read_deployment_by_name(f"{name}/shirts")
        assert deployment.parameters == {"config_file": str(file)}
        assert deployment.entrypoint == f"flows.serving.deployed.{name}"
        assert deployment.tags == ["nonesuch", "shirts"]
        assert deployment.global_concurrency_limit.limit == 1
        assert deployment.enforce_parameter_schema
        assert not deployment.paused
    strategies = {
        name: client.read_deployment_by_name(f"{name}/shirts").concurrency_options for name in NAMES
    }
    waits = [name for name in NAMES if strategies[name].collision_strategy.value == "ENQUEUE"]
    assert waits == ["publish", "train", "rank"]


def test_schedules_are_set_changed_and_taken_out(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "nonesuch.toml"
    daily = {"time_zone": "Europe/Vienna", "rebuild": "0 3 * * *", "train": "0 5 * * 6"}
    for _ in range(2):  # a restart doubles nothing
        register(config_of(tmp_path, schedules=daily), file)
        assert schedules(client, "rebuild/shirts") == [("0 3 * * *", "Europe/Vienna", True)]
        assert schedules(client, "train/shirts") == [("0 5 * * 6", "Europe/Vienna", True)]
        assert schedules(client, "publish/shirts") == []
    register(config_of(tmp_path, schedules={"rebuild": "30 4 * * *"}), file)
    assert schedules(client, "rebuild/shirts") == [("30 4 * * *", "UTC", True)]
    assert schedules(client, "train/shirts") == []
    register(config_of(tmp_path), file)
    assert schedules(client, "rebuild/shirts") == []


def test_a_schedule_that_prefect_does_not_know_is_named(tmp_path: Path) -> None:
    from flows.serving.deployments import deployments

    config = config_of(tmp_path)
    odd = config.schedules.model_copy(update={"rank": "0 0 * * 7-9"})
    with pytest.raises(ConfigError, match=r"`schedules\.rank`: .* '0 0 \* \* 7-9'"):
        deployments(config.model_copy(update={"schedules": odd}), tmp_path / "nonesuch.toml")


def test_automations_are_there_once_and_follow_the_configuration(
    client: Any, tmp_path: Path
) -> None:
    file = tmp_path / "nonesuch.toml"
    ids = register(config_of(tmp_path), file)
    first = automations_of(client, "shirts")
    assert set(first) == {
        "publication starts training",
        "training starts ranking",
        "dead runs",
    }
    trains = first["publication starts training"]
    assert trains.trigger.match.root == {"prefect.resource.id": "nonesuch.dataset.shirts"}
    assert trains.actions[0].deployment_id == ids["train"]
    assert first["dead runs"].trigger.within == timedelta(seconds=600)

    client.pause_automation(trains.id)
    changed = config_of(tmp_path, loop={"rank_on_train": False}, server={"dead_after": 900})
    register(changed, file)
    second = automations_of(client, "shirts")
    assert set(second) == {"publication starts training", "dead runs"}
    assert second["dead runs"].id == first["dead runs"].id
    assert second["dead runs"].trigger.within == timedelta(seconds=900)
    assert not second["publication starts training"].enabled  # a person has switched it off


def test_a_dataset_that_was_renamed_leaves_nothing_behind(client: Any, tmp_path: Path) -> None:
    from prefect.exceptions import ObjectNotFound

    file = tmp_path / "nonesuch.toml"
    register(config_of(tmp_path, "old", schedules={"rebuild": "* * * * *"}), file)
    register(config_of(tmp_path, "others"), tmp_path / "others.toml")
    register(config_of(tmp_path, "new"), file)
    with pytest.raises(ObjectNotFound):
        client.read_deployment_by_name("rebuild/old")
    assert automations_of(client, "old") == {}
    assert client.read_deployment_by_name("rebuild/others")
    assert client.read_deployment_by_name("rebuild/new")


def test_the_command_line_orders_a_training(
    client: Any,
    loop_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_this_process: Callable[..., Outcome],
) -> None:
    file = tmp_path / "nonesuch.toml"
    file.write_text('[dataset]\nname = "told"\nroot = "catalog"\n')
    command = ("train", "--deployment", "-c", str(file))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    nobody = in_this_process(*command)
    assert nobody.code == 2
    assert "no Prefect server runs for the dataset 'told'; start one with" in nobody.err
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert "does not answer" in in_this_process(*command).err

    monkeypatch.setenv("PREFECT_API_URL", loop_server.api)
    register(config_of(tmp_path, "told"), file)
    options = ("--kimg", "3", "--run", "here/mine", "--gpus", "1", "--transfer", "other")
    order = in_this_process(*command, *options, "--json").json
    assert order["address"] == f"{page_of(loop_server.api)}/runs/flow-run/{order['id']}"
    here = Path.cwd()
    assert client.read_flow_run(order["id"]).parameters == {
        "config_file": str(file),
        "settings": {"run.total_kimg": 3.0},
        "run": str(here / "here/mine"),
        "gpus": 1,
        "transfer": str(here / "other"),
    }
    for other in (("--folds", "3"), ("--dry-run",)):
        refused = in_this_process(*command, *other)
        assert refused.code == 2
        assert "--deployment goes neither with" in refused.err


# ---- Inside a run. -------------------------------------------------------------------------------


def test_a_run_waits_for_the_dataset_and_names_who_holds_it(tmp_path: Path) -> None:
    from prefect.logging import disable_run_logger

    from flows.catalog import open_catalog
    from flows.serving.alone import alone

    config = config_of(tmp_path)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with open_catalog(config).lock("something else"):
            held.set()
            free.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    with disable_run_logger():
        with (
            pytest.raises(ConflictError, match=f"process {os.getpid()} holds it for 'something"),
            alone(config, "publish", 0),
        ):
            raise AssertionError("it is held")
        threading.Timer(0.2, free.set).start()
        with alone(config, "publish", 60):
            holder.join(60)


def test_a_root_without_locks_has_a_slot_at_the_server(client: Any, tmp_path: Path) -> None:
    from flows.serving.alone import alone
    from flows.serving.deployments import ensure_limit

    raw = {"dataset": {"name": "remote", "root": "memory://bucket"}, "train": {"folder": "models"}}
    config = parse(raw, name="test", folder=tmp_path)
    for _ in range(2):
        ensure_limit(config)
    with alone(config, "rebuild", 60):
        assert client.read_global_concurrency_limit_by_name("nonesuch-remote").active_slots == 1
        with (
            pytest.raises(ConflictError, match="memory://bucket is in use: another run of this"),
            alone(config, "publish", 1),
        ):
            raise AssertionError("it is held")
    with alone(config, "publish", 60):
        pass


def test_an_event_about_what_is_not_due_trains_nothing(tmp_path: Path) -> None:
    from prefect.logging import disable_run_logger

    from flows.serving.deployed import Published, train

    file = tmp_path / "nonesuch.toml"
    file.write_text(
        '[dataset]\nname = "shirts"\nroot = "catalog"\n[loop]\nmin_decisions = 9\nmin_changed = 1\n'
    )
    config = config_of(tmp_path)
    first = publish_pictures(tmp_path / "catalog")
    second = publish_pictures(tmp_path / "catalog", first=1)
    catalog = loop_notes_of(config)
    note = Begun(
        run=str(tmp_path / "catalog" / "models" / "v1-tiny"),
        version=1,
        version_hash=first.hash,
        options=TrainOptions(version=1),
        at=NOW,
        deaths=99,
    )
    notes.note_begun(catalog, note)
    with disable_run_logger():
        gone = train.fn(str(file), published=Published(version=1, hash=first.hash))
        little = train.fn(str(file), published=Published(version=2, hash=second.hash))
    assert gone.message == "version 1 is not trained: there is a newer one, or it is gone"
    assert little.message.startswith(
        "version 2 is not trained, it is declined: since version 1: 0 decisions, 12.5% changed"
    )
    (entry,) = notes.read_declined(catalog).values()
    assert (entry.version, entry.by) == (2, "rules")


def loop_notes_of(config: DatasetConfig) -> Any:
    from flows.catalog import open_catalog

    return open_catalog(config)


def test_a_version_that_cannot_be_trained_is_not_tried_again(tmp_path: Path) -> None:
    from prefect.logging import disable_run_logger

    from flows.loop import due
    from flows.serving.deployed import Published, train
    from training.errors import SetupError

    version = publish_pictures(tmp_path / "catalog")
    file = tmp_path / "nonesuch.toml"
    file.write_text(
        '[dataset]\nroot = "catalog"\n[train]\npreset = "tiny"\n'
        '[train.run]\ndevice = "cpu"\n[train.optimizer]\nbatch = 7\nbatch_gpu = 4\n'
    )
    with disable_run_logger(), pytest.raises(SetupError):
        train.fn(str(file), published=Published(version=1, hash=version.hash))
    from flows.settings import load

    found = due.survey(load(file))
    assert found.due == ()
    assert found.versions[0].standing == "failed"
    assert found.versions[0].why.startswith("it cannot be trained: ")


def test_a_training_that_dies_has_crashed_and_stays_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.logging import disable_run_logger

    from flows.serving import deployed

    version = publish_pictures(tmp_path / "catalog")
    file = tmp_path / "nonesuch.toml"
    file.write_text(
        '[dataset]\nroot = "catalog"\n[train]\npreset = "tiny"\n[train.run]\ndevice = "cpu"\n'
    )

    def die(start: Any, _heard: Any) -> None:
        raise deployed.EndedError(start.run, 1)

    monkeypatch.setattr(deployed, "run_start", die)
    published = deployed.Published(version=1, hash=version.hash)
    with disable_run_logger():
        state = deployed.train.fn(str(file), published=published)
    assert (state.is_crashed(), state.message) == (True, "run v1-tiny died with exit code 1")
    from flows.settings import load

    catalog = loop_notes_of(load(file))
    assert [Path(begun.run).name for begun in notes.read_begun(catalog)] == ["v1-tiny"]
    assert notes.read_declined(catalog) == {}


@pytest.mark.parametrize(("state", "stays"), [("Cancelling", False), ("Running", True)])
def test_a_training_that_a_person_cancels_does_not_go_on(
    tmp_path: Path, state: str, stays: bool
) -> None:
    from prefect import states

    from flows.catalog import open_catalog
    from flows.serving.deployed import _give_up

    file = tmp_path / "nonesuch.toml"
    file.write_text('[dataset]\nroot = "catalog"\n')
    catalog = open_catalog(parse({"dataset": {"root": "catalog"}}, name="t", folder=tmp_path))
    mine, other = uuid4(), uuid4()
    for number, run in enumerate((mine, other), 1):
        notes.note_begun(
            catalog,
            Begun(
                run=f"/models/v{number}",
                version=number,
                version_hash=f"hash{number}",
                options=TrainOptions(version=number, settings=TRAIN),
                flow_run=str(run),
                at=NOW,
            ),
        )
    run = SimpleNamespace(
        id=mine, state=getattr(states, state)(), parameters={"config_file": str(file)}
    )
    # The runner hands on the same state whoever has ended the run.
    _give_up(flow=None, flow_run=run, state=states.Cancelling())
    left = [begun.version for begun in notes.read_begun(catalog)]
    assert left == ([1, 2] if stays else [2])
    declined = notes.read_declined(catalog)
    assert [(d.version, d.by) for d in declined.values()] == ([] if stays else [(1, "person")])
