"""What may judge: registered when a training has ended, listed, chosen."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data_catalog import models
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from flows.settings import DatasetConfig, load
from flows.trainings.models import choose, folders_of, list_models, register_run, use
from tests.flows.trainable import SIZE, TRAIN, publish_pictures, world_in
from tests.flows.world import Outcome, World
from training.command import nested
from training.presets import resolve
from training.runs.folder import RunFolder, VersionFacts
from training.runs.record import Metric, RunRecord, now

Run = Callable[..., Outcome]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_in(tmp_path)


def config_of(world: World, **rank: Any) -> DatasetConfig:
    config = load(world.folder / "nonesuch.toml")
    return config.model_copy(update={"rank": config.rank.model_copy(update=rank)})


def a_run(
    world: World,
    name: str = "v1-tiny",
    snapshots: Sequence[str] = ("kimg-000000.016", "kimg-000000.032"),
    *,
    status: Any = "finished",
    version: int = 1,
    folder: Path | None = None,
    **data: Any,
) -> Path:
    """Write what a training leaves, but for its networks."""
    path = (folder or world.folder / world.root / "models") / name
    facts = VersionFacts(dataset="x", version=version, version_hash="h", inverted=False, size=SIZE)
    settings = {"network": TRAIN["network"], "run": TRAIN["run"], "data": data}
    run = RunFolder(path)
    run.write_config(resolve("tiny", nested(settings), size=SIZE, gpus=1), facts)
    for snapshot in snapshots:
        (run.snapshots / snapshot).mkdir(exist_ok=True)
        (run.samples / f"{snapshot}.png").write_bytes(b"")
    record = RunRecord(
        **facts.model_dump(),
        status=status,
        preset="tiny",
        cur_nimg=32,
        total_kimg=0.032,
        snapshots=tuple(snapshots),
        newest_snapshot=snapshots[-1] if snapshots else None,
        metrics=tuple(Metric(snapshot=s, name="fd_own", value=n) for n, s in enumerate(snapshots)),
        started=now(),
        updated=now(),
        pid=1,
    )
    (path / "run.json").write_text(record.model_dump_json())
    return path


def test_a_finished_run_may_judge(world: World) -> None:
    config = config_of(world)
    model = register_run(config, [a_run(world)])
    assert model is not None
    assert model.model == "v1-tiny@kimg-000000.032"
    assert model.runs == ("v1-tiny",)
    assert model.snapshots == (("kimg-000000.032",),)
    assert (model.version, model.recipe, model.kimg) == (1, "12x16-test", 0.032)
    assert (model.height, model.width) == SIZE
    assert models.current(world.catalog) == model == choose(config)


def test_the_newest_snapshots_judge(world: World) -> None:
    run = a_run(world, snapshots=[f"kimg-{n:06d}.000" for n in range(1, 6)])
    model = register_run(config_of(world, snapshots=2), [run])
    assert model is not None
    assert model.snapshots == (("kimg-000005.000", "kimg-000004.000"),)


@pytest.mark.parametrize("status", ["running", "stopped", "failed"])
def test_what_has_not_finished_may_not(world: World, status: str) -> None:
    assert register_run(config_of(world), [a_run(world, status=status)]) is None
    assert models.current(world.catalog) is None


def test_a_run_of_another_dataset_may_not(world: World) -> None:
    assert register_run(config_of(world), [a_run(world, version=7)]) is None
    assert register_run(config_of(world), [a_run(world, "none", snapshots=())]) is None


def test_a_person_s_choice_outlives_the_same_training_again(world: World) -> None:
    config = config_of(world)
    first = register_run(config, [a_run(world, "first")])
    second = register_run(config, [a_run(world, "second")])
    assert first is not None
    assert models.current(world.catalog) == second
    use(config, first.model)
    before = world.catalog.table("models").version()
    assert register_run(config, [a_run(world, "second")]) == second
    assert models.current(world.catalog) == first
    assert world.catalog.table("models").version() == before
    longer = register_run(config, [a_run(world, "second", ["kimg-000000.064"])])
    assert models.current(world.catalog) == longer


def test_of_a_matrix_it_is_known_and_judges_only_where_there_is_nobody_else(world: World) -> None:
    config = config_of(world)
    first = register_run(config, [a_run(world, "first")], judges=False)
    assert first == choose(config)
    second = register_run(config, [a_run(world, "second")], judges=False)
    assert second is not None and choose(config) == first
    assert use(config, second.model) == choose(config) == second


@pytest.mark.parametrize("data", [{"tags": ("pov",)}, {"labels": ("dress",)}])
def test_who_knows_a_part_judges_only_where_there_is_nobody_else(
    world: World, data: dict[str, Any]
) -> None:
    config = config_of(world)
    part = register_run(config, [a_run(world, "part", **data)])
    assert models.current(world.catalog) == part
    whole = register_run(config, [a_run(world, "whole")])
    other = register_run(config, [a_run(world, "other", **data)])
    assert other is not None
    assert models.current(world.catalog) == whole
    assert other in models.all_models(world.catalog)


def test_folds_judge_together_when_all_have_ended(world: World) -> None:
    config = config_of(world)
    one = a_run(world, "v1-tiny-fold1of3", fold="1/3")
    two = a_run(world, "v1-tiny-fold2of3", fold="2/3")
    assert register_run(config, [one]) is None
    three = a_run(world, "v1-tiny-fold3of3", fold="3/3", status="stopped")
    assert register_run(config, [three]) is None
    a_run(world, "v1-tiny-fold3of3", fold="3/3")
    model = register_run(config, [two])
    assert model is not None
    assert model.model == "v1-tiny-3folds@kimg-000000.032"
    assert model.runs == tuple(f"v1-tiny-fold{n}of3" for n in (1, 2, 3))
    assert register_run(config, [one, two, three]) == model
    lone = a_run(world, "lone", fold="1/3")
    assert register_run(config, [lone]) is None


def test_runs_are_found_wherever_the_dataset_lies(world: World, tmp_path: Path) -> None:
    config = config_of(world)
    inside = register_run(config, [a_run(world)])
    outside = register_run(config, [a_run(world, "far", folder=tmp_path / "elsewhere")])
    assert inside is not None
    assert outside is not None
    assert folders_of(config, inside) == [world.folder / world.root / "models" / "v1-tiny"]
    assert folders_of(config, outside) == [tmp_path / "elsewhere" / "far"]


def test_the_list_says_what_is_known(world: World) -> None:
    config = config_of(world)
    assert list_models(config) == []
    old = a_run(world, "old")
    register_run(config, [old])
    publish_pictures(world.folder / world.root, first=5)
    register_run(config, [a_run(world, "new", version=2)])
    new, other = list_models(config)
    assert (new.model, new.version, new.current, new.usable) == (
        "new@kimg-000000.032",
        2,
        True,
        True,
    )
    assert new.metrics == {"fd_own": 1}
    assert new.grid is not None
    assert Path(new.grid).name == "kimg-000000.032.png"
    assert (other.current, other.usable) == (False, True)
    (old / "snapshots" / "kimg-000000.032").rmdir()
    assert [model.usable for model in list_models(config)] == [True, False]
    (old / "run.json").unlink()
    assert list_models(config)[1].metrics == {}


def test_the_commands(world: World, in_this_process: Run) -> None:
    file = str(world.folder / "nonesuch.toml")
    assert "no model yet" in in_this_process("models", "-c", file).out
    config = config_of(world)
    register_run(config, [a_run(world, "first")])
    register_run(config, [a_run(world, "second")])
    listed = in_this_process("models", "-c", file)
    assert listed.code == 0
    first, second = "first@kimg-000000.032", "second@kimg-000000.032"
    assert listed.out.index(second) < listed.out.index(first)
    assert "judges from now on" in in_this_process("models", "use", first, "-c", file).out
    found = in_this_process("models", "--json", "-c", file).json["models"]
    assert [(m["model"], m["current"]) for m in found] == [(first, True), (second, False)]
    said = in_this_process("models", "-c", file, "--json", "use", second)
    assert json.loads(said.out) == {"model": second}
    assert models.current(Catalog(world.folder / world.root)) == choose(config, second)
    unknown = in_this_process("models", "use", "third", "-c", file)
    assert unknown.code == 1
    assert first in unknown.err


def test_without_a_model_there_is_nothing_to_choose(world: World) -> None:
    with pytest.raises(CatalogError, match="`nonesuch train` registers one"):
        choose(config_of(world))
