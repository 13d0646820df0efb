"""`nonesuch rank` on a set that was really rebuilt, published and trained on, if only for seconds.

The set is inverted and the networks know classes, dress and shirt: whatever is scored here shows
that they see pictures as they know them, and are told what they are.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curation.scorers import Scorer
from data_catalog import models
from data_catalog.errors import CatalogError, ConflictError
from data_catalog.shards import key_of
from tests.flows.trainable import TRAIN
from tests.flows.world import Outcome, World, fill
from training.data.select import fold_of
from training.errors import SetupError, SnapshotError

pytestmark = pytest.mark.xdist_group("prefect")

ITEMS = 24
RECIPE = {"width": 12, "height": 16, "format": "png", "invert": "always"}
# By the discriminator alone; density has tests of its own.
RANK = {"density": False, "device": "cpu", "partition": 8, "snapshots": 2}
OFF = {name: {"action": "off"} for name in ("too_small", "too_few_bytes", "near_duplicate")}

Run = Callable[..., Outcome]


def world_at(folder: Path, server: str) -> World:
    raw = {
        "sources": [{"kind": "folder", "path": "images", "label_from": "parent"}],
        "recipe": RECIPE,
        "rules": OFF,
        "run": {"workers": 1},
        "rank": RANK,
        "train": TRAIN,
    }
    return World(folder, server, raw=raw)


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: str, _warm_workers: None
) -> World:
    """A dataset with a model: built, published and trained on, once for all tests."""
    from flows.trainings.launch import TrainOptions, train_run

    world = world_at(tmp_path_factory.mktemp("trained"), prefect_server)
    fill(world.images / "dress", range(0, ITEMS, 2))
    fill(world.images / "shirt", range(1, ITEMS, 2))
    summary = world.rebuild()
    assert (summary.items, summary.ranked, summary.notes) == (ITEMS, 0, [])
    world.publish()
    options = TrainOptions(settings={"run.snapshot_ticks": 1, "data.conditional": True})
    assert train_run(world.config(), options).status == "finished"
    return world


@pytest.fixture
def world(trained: World, tmp_path: Path) -> World:
    """A copy, for a test to change."""
    shutil.copytree(trained.folder, tmp_path / "world")
    return world_at(tmp_path / "world", trained.server)


def ranked(world: World, model: str | None = None, **changes: Any) -> Any:
    from flows.rank import rank

    (found,) = rank(world.config(**changes), model).rankings
    return found


def scores(world: World) -> dict[str, dict[str, Any]]:
    """Rows by item; none is there twice."""
    rows = world.table("scores").to_pylist()
    found = {row["item_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def items(world: World) -> set[str]:
    return set(world.table("features")["item_id"].to_pylist())


def test_a_trained_model_scores_every_picture_once(world: World) -> None:
    model = models.current(world.catalog)
    assert model is not None
    assert model.model == "v1-tiny@kimg-000000.032"
    assert len(model.snapshots[0]) == 2
    summary = ranked(world)
    assert (summary.model, summary.scored, summary.new) == (model.model, ITEMS, ITEMS)
    found = scores(world)
    assert found.keys() == items(world)
    assert {row["model"] for row in found.values()} == {model.model}
    places = sorted(row["percentile"] for row in found.values())
    assert places == pytest.approx([100 * (n + 0.5) / ITEMS for n in range(ITEMS)])
    assert 0 <= summary.stability <= 1
    assert summary.standard_error > 0
    assert all(Path(path).is_file() for path in summary.pictures.values())
    before = world.versions()
    again = ranked(world)
    assert (again.scored, again.new) == (ITEMS, 0)
    assert again.pictures == summary.pictures
    assert world.versions() == before


def test_scores_are_those_that_training_would_give(world: World) -> None:
    """The published version holds the same pictures, and its loader inverts them."""
    from training.score_run import score_version
    from training.trained_on import Source

    version = Source(str(world.folder / world.root / "versions" / "1"))
    run = world.folder / world.root / "models" / "v1-tiny"
    expected = {s.item: s.mean for s in score_version([run], source=version, newest=2)}
    ranked(world, rank={**RANK, "partition": 1000})
    found = {key_of(item): row["mean"] for item, row in scores(world).items()}
    assert found.keys() == expected.keys()
    pairs = np.array([[found[key], expected[key]] for key in found])
    assert np.corrcoef(pairs.T)[0, 1] > 0.99
    upright = score_version([upside_down(run)], source=version, newest=2)
    others = {s.item: s.mean for s in upright}
    assert np.corrcoef([found[k] for k in found], [others[k] for k in found])[0, 1] < 0.9


def upside_down(run: Path) -> Path:
    """A copy that says of itself that it was trained on pictures that are not inverted."""
    return changed(run, run.with_name("upright"), inverted=False)


def changed(run: Path, target: Path, **values: Any) -> Path:
    """A copy whose snapshots say something else of themselves."""
    from training.runs.snapshots import load, names, save

    shutil.copytree(run, target)
    for name in names(target / "snapshots"):
        snapshot = load(target / "snapshots" / name)
        config = {**snapshot.values["config"]}
        config["data"] = {**config["data"], **values.get("data", {})}
        told = {**snapshot.values, **values, "config": config}
        told.pop("data", None)
        save(target / "snapshots", name, replace(snapshot, values=told))
    return target


def test_a_rebuild_scores_what_is_new(world: World) -> None:
    ranked(world)
    old = scores(world)
    fill(world.images / "dress", [100])
    silent = world.rebuild(rank={**RANK, "on_rebuild": False})
    assert (silent.ranked, len(scores(world))) == (0, ITEMS)
    low = {"low_d_score": {"min_percentile": 10, "action": "reject"}}
    summary = world.rebuild(rules=low)
    assert (summary.ranked, summary.notes) == (1, [])
    new = scores(world)
    assert new.keys() == items(world)
    assert {item: row["mean"] for item, row in new.items() if item in old} == {
        item: row["mean"] for item, row in old.items()
    }
    assert all(row["standard_error"] > 0 for row in new.values())  # compared with others
    lowest = sorted(new, key=lambda item: new[item]["mean"])[:2]
    rejected = world.table("verdicts").filter(pc.field("verdict") == "rejected")
    assert sorted(rejected["item_id"].to_pylist()) == sorted(lowest)
    again = world.rebuild(rules=low)
    assert (again.ranked, again.build) == (0, summary.build)


def test_a_kill_costs_one_partition(world: World) -> None:
    file = world.write_config(rank={**RANK, "partition": 2})
    process = world.start("rank", "-c", str(file))
    table = world.catalog.table("scores")
    process.wait_for(lambda: table.version() >= 1)
    process.kill()
    left = scores(world)
    assert len(left) in range(2, ITEMS, 2)
    summary = ranked(world)
    assert (summary.new, summary.scored) == (ITEMS - len(left), ITEMS)
    kept = scores(world)
    assert all(kept[item]["mean"] == row["mean"] for item, row in left.items())
    assert None not in [row["percentile"] for row in kept.values()]


def damage(world: World, item: str) -> None:
    row = world.table("features").filter(pc.field("item_id") == item).to_pylist()[0]
    pack = world.folder / world.root / "standard" / row["recipe"] / row["pack"]
    with pack.open("r+b") as file:
        file.seek(row["offset"])
        file.write(b"\0" * row["length"])


def test_a_damaged_picture_is_named_and_the_others_are_scored(
    world: World, in_this_process: Run
) -> None:
    broken = sorted(items(world))[3]
    damage(world, broken)
    outcome = in_this_process("rank", "-c", str(world.write_config()), "--json")
    assert outcome.code == 0
    (found,) = outcome.json["rankings"]
    assert found["damaged"] == {broken: "cannot be decoded"}
    assert (found["new"], found["scored"]) == (ITEMS - 1, ITEMS - 1)
    assert f"{broken} cannot be decoded" in outcome.err
    assert scores(world).keys() == items(world) - {broken}
    again = in_this_process("rank", "-c", str(world.write_config()))
    assert broken in again.out  # it is not forgotten
    assert world.rebuild().notes == [f"not ranked by discriminator: {broken} cannot be decoded"]


def test_a_size_that_the_model_does_not_know(world: World, in_this_process: Run) -> None:
    other = {**RECIPE, "width": 24}
    with pytest.raises(SetupError, match=r"judges pictures of 12×16 px .* makes 24×16; train on"):
        ranked(world, recipe=other)
    outcome = in_this_process("rank", "-c", str(world.write_config(recipe=other)))
    assert outcome.code == 2
    assert "12×16" in outcome.err
    summary = world.rebuild(recipe=other)
    assert (summary.items, summary.ranked) == (ITEMS, 0)
    assert len(summary.notes) == 1
    assert "12×16" in summary.notes[0]
    # It keeps nobody from comparing pictures, unless it was asked for by its id.
    from flows.rank import rank

    both = {"recipe": other, "rank": {**RANK, "density": True}}
    found = rank(world.config(**both))
    assert [ranking.scorer for ranking in found.rankings] == [Scorer.DENSITY]
    assert "12×16" in found.notes[0]
    with pytest.raises(SetupError, match="judges pictures of 12×16 px"):
        rank(world.config(**both), "v1-tiny@kimg-000000.032")


def test_snapshots_that_are_gone(world: World) -> None:
    shutil.rmtree(world.folder / world.root / "models" / "v1-tiny" / "snapshots")
    with pytest.raises(SnapshotError, match=r"kimg-000000\.032 is no snapshot"):
        ranked(world)
    summary = world.rebuild()
    assert summary.ranked == 0
    assert "is no snapshot" in summary.notes[0]


def test_each_is_judged_by_the_fold_that_has_not_seen_it(world: World) -> None:
    from flows.trainings.models import register_run

    run = world.folder / world.root / "models" / "v1-tiny"
    folds = [run.with_name(f"v1-tiny-fold{n}of2") for n in (1, 2)]
    for number, target in enumerate(folds, 1):
        changed(run, target, data={"fold": f"{number}/2"})
    one = models.current(world.catalog)
    assert register_run(world.config(), folds) is not None
    summary = ranked(world)
    assert summary.model == "v1-tiny-2folds@kimg-000000.032"
    found = scores(world)
    assert found.keys() == items(world)
    assert all(row["fold"] == fold_of(key_of(item), 2) + 1 for item, row in found.items())
    for fold in (1, 2):  # whatever the networks' units: places are fair to both
        places = [row["percentile"] for row in found.values() if row["fold"] == fold]
        assert min(places) < 20
        assert max(places) > 80
    assert one is not None
    other = ranked(world, one.model)  # the scores of both are kept
    assert (other.model, other.new) == (one.model, ITEMS)
    assert world.table("scores").num_rows == 2 * ITEMS
    assert {row["model"] for row in current(world).to_pylist()} == {summary.model}


def current(world: World) -> pa.Table:
    from curation.stages.scores import current_scores

    return current_scores(world.catalog, world.config().recipe)[Scorer.DISCRIMINATOR]


def test_nothing_is_said_of_classes_that_are_not_known(world: World) -> None:
    fill(world.images / "hat", [101])
    fill(world.images, [102])
    summary = world.rebuild()
    assert (summary.ranked, summary.items, summary.notes) == (ITEMS, ITEMS + 2, [])
    told = ranked(world)
    assert (told.new, told.scored, told.left_out) == (0, ITEMS, 2)


@pytest.fixture
def held(world: World) -> Iterator[None]:
    """Somebody else at work on the dataset."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with world.catalog.lock("publish"):
            taken.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(60)
    yield
    done.set()
    thread.join()


def test_a_dataset_in_use_says_by_whom(world: World, held: None) -> None:
    with pytest.raises(ConflictError, match=r"process .* holds it for 'publish'"):
        ranked(world)


def test_likeness_and_discriminator_side_by_side(world: World) -> None:
    from flows.rank import rank

    both = {"rank": {**RANK, "density": True}}
    density, network = rank(world.config(**both)).rankings
    assert (density.scorer, network.scorer) == (Scorer.DENSITY, Scorer.DISCRIMINATOR)
    assert (density.new, network.new) == (ITEMS, ITEMS)
    assert set(density.pictures.values()).isdisjoint(network.pictures.values())
    fill(world.images / "dress", [100])
    halves = {"unlike_others": {"min_percentile": 50}, "low_d_score": {"min_percentile": 50}}
    summary = world.rebuild(rules=halves, **both)
    assert (summary.ranked, summary.notes) == (1, [])  # one picture, by both
    counts = [summary.reasons[name] for name in halves]
    assert counts == [(ITEMS + 1) // 2] * 2
    verdicts = world.table("verdicts")
    places = [verdicts[name].to_pylist() for name in ("density_percentile", "d_percentile")]
    assert sorted(places[0]) == pytest.approx(sorted(places[1]))
    assert places[0] != places[1]


def test_a_cluster_scores_as_this_machine_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import tasks
    from flows.rank import rank
    from flows.ranking import density

    both = {**RANK, "density": True}
    here = rank(world.config(rank=both))
    kept = scored(world)
    assert len(kept) == 2 * ITEMS
    shutil.rmtree(world.folder / world.root / "catalog" / "scores")
    # The sample is drawn there, too, to the same bit.
    shutil.rmtree(world.folder / world.root / "rank")
    monkeypatch.setattr(density, "look_at", None)
    monkeypatch.setattr(tasks, "score_part", None)
    there = rank(world.config(rank=both, compute={"runner": "dask", "workers": 1}))
    assert [r.new for r in there.rankings] == [r.new for r in here.rankings] == [ITEMS, ITEMS]
    assert scored(world) == kept


def scored(world: World) -> list[dict[str, Any]]:
    """All rows of all scorers, without the time."""
    order = [("model", "ascending"), ("item_id", "ascending")]
    return world.table("scores").drop_columns(["scored_at"]).sort_by(order).to_pylist()


def test_without_a_model(world: World, in_this_process: Run) -> None:
    with pytest.raises(CatalogError, match="there is no model 'other'"):
        ranked(world, "other")
    shutil.rmtree(world.folder / world.root / "catalog" / "models")
    outcome = in_this_process("rank", "-c", str(world.write_config()))
    assert outcome.code == 1
    assert "no model that could judge" in outcome.err


def test_the_command_says_what_came_out(world: World, in_this_process: Run) -> None:
    file = str(world.write_config())
    outcome = in_this_process("rank", "--device", "cpu", "-c", file)
    assert outcome.code == 0
    for word in ("v1-tiny@kimg-000000.032", "stability", "lowest.png", "highest.png"):
        assert word in outcome.out
    assert "rank 3 of 3: 8 scored" in outcome.err
    assert in_this_process("rank", "--device", "cuda", "-c", file).code in (0, 2)
