"""Ranking by likeness on a set that was really rebuilt: no training, no model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curation.scorers import Scorer
from curation.synthetic.drawing import encode
from data_catalog.forgetting import forget
from tests.flows.world import RULES, Outcome, World, fill

pytestmark = pytest.mark.xdist_group("prefect")

ALIKE = 12
ODD = "odd.jpg"
ITEMS = ALIKE + 1
RANK = {"device": "cpu", "partition": 4}


def world_at(folder: Path, server: str) -> World:
    raw = {
        "sources": [{"kind": "folder", "path": "images"}],
        "recipe": {"width": 24, "height": 32, "format": "png"},
        "rules": {**RULES, "too_small": {"action": "off"}},
        "run": {"workers": 1},
        "rank": RANK,
    }
    return World(folder, server, raw=raw)


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: str, _warm_workers: None
) -> World:
    """Products on white paper, and one picture of nothing but noise."""
    world = world_at(tmp_path_factory.mktemp("built"), prefect_server)
    fill(world.images, range(ALIKE))
    noise = np.random.default_rng(0).integers(0, 256, (160, 120, 3), dtype=np.uint8)
    (world.images / ODD).write_bytes(encode(noise, ".jpg", 92))
    summary = world.rebuild()
    assert (summary.items, summary.ranked, summary.notes) == (ITEMS, 0, [])
    return world


@pytest.fixture
def world(built: World, tmp_path: Path) -> World:
    """A copy, for a test to change."""
    shutil.copytree(built.folder, tmp_path / "world")
    return world_at(tmp_path / "world", built.server)


def ranked(world: World, **changes: Any) -> Any:
    from flows.rank import rank

    (found,) = rank(world.config(**changes)).rankings
    assert found.scorer is Scorer.DENSITY
    return found


def scores(world: World) -> dict[str, dict[str, Any]]:
    """Rows by item; none is there twice."""
    rows = world.table("scores").to_pylist()
    found = {row["item_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def sample(world: World) -> Path:
    (found,) = (world.folder / world.root / "rank" / "density").iterdir()
    assert found.suffix == ".npz"
    return found


def test_the_odd_one_is_lowest_and_a_rule_finds_it(world: World) -> None:
    found = ranked(world)
    assert (found.scored, found.new, found.damaged) == (ITEMS, ITEMS, {})
    assert found.model.startswith("density-own-1-")
    assert (found.stability, found.standard_error, found.high) == (None, None, 0)
    rows = scores(world)
    assert {row["model"] for row in rows.values()} == {found.model}
    assert min(rows, key=lambda item: rows[item]["mean"]) == world.image_id(ODD)
    assert all(Path(path).is_file() for path in found.pictures.values())
    low = {"unlike_others": {"min_percentile": 5}}
    summary = world.rebuild(rules=low)
    assert summary.reasons == {"unlike_others": 1}
    assert world.verdicts()[ODD] == ("flagged", ("unlike_others",))
    before = world.versions()
    again = ranked(world)
    assert (again.scored, again.new, again.model) == (ITEMS, 0, found.model)
    assert again.pictures == found.pictures
    assert world.versions() == before


def test_what_is_new_is_compared_with_the_same_sample(world: World) -> None:
    first = ranked(world)
    old, file = scores(world), sample(world).read_bytes()
    fill(world.images, range(ALIKE, ALIKE + 3))
    silent = world.rebuild(rank={**RANK, "density": False})
    assert (silent.ranked, len(scores(world))) == (0, ITEMS)
    summary = world.rebuild()
    assert (summary.ranked, summary.notes) == (3, [])
    new = scores(world)
    assert {item: new[item]["mean"] for item in old} == {
        item: row["mean"] for item, row in old.items()
    }
    assert None not in [row["percentile"] for row in new.values()]
    assert sample(world).read_bytes() == file
    # Three of what are sixteen now: the sample still stands for them.
    assert ranked(world).model == first.model


def test_a_set_that_has_grown_by_half_gets_another_sample(world: World) -> None:
    first = ranked(world)
    fill(world.images, range(ALIKE, ALIKE + ITEMS // 2 + 1))
    summary = world.rebuild()
    assert summary.ranked == ITEMS // 2 + 1  # a rebuild draws none
    second = ranked(world)
    assert second.model != first.model
    assert second.scored == second.new == ITEMS + ITEMS // 2 + 1
    assert {row["model"] for row in scores(world).values()} == {second.model}
    assert not Path(first.pictures["lowest"]).exists()
    assert Path(second.pictures["lowest"]).exists()


def test_copies_and_rejected_ones_are_not_in_the_sample(world: World) -> None:
    """An odd picture that is there many times would be its own neighbour."""
    for quality in range(80, 91):
        noise = np.random.default_rng(0).integers(0, 256, (160, 120, 3), dtype=np.uint8)
        (world.images / f"copy{quality}.jpg").write_bytes(encode(noise, ".jpg", quality))
    world.decide("0003.jpg", "rejected")
    world.rebuild()
    found = ranked(world)
    assert found.scored == ITEMS + 11
    with np.load(sample(world)) as file:
        keys = {key.decode() for key in file["keys"].tolist()}
    assert world.image_id("0003.jpg") not in keys
    assert len(keys) == ITEMS - 1
    rows = scores(world)
    twelve = sorted(rows, key=lambda item: rows[item]["mean"])[:12]
    assert world.image_id(ODD) in twelve and world.image_id("copy80.jpg") in twelve


def test_what_was_looked_at_for_a_sample_is_not_looked_at_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.ranking import density

    decoded: list[int] = []
    pictures = density.standard_pictures

    def dying(catalog: Any, recipe: Any, rows: pa.Table, **how: Any) -> Any:
        if len(decoded) == 2:
            raise KeyboardInterrupt
        decoded.append(rows.num_rows)
        return pictures(catalog, recipe, rows, **how)

    monkeypatch.setattr(density, "standard_pictures", dying)
    config = world.config()
    plan = density.plan_sample(config, None)
    assert plan is not None
    with pytest.raises(KeyboardInterrupt):
        for part in plan.parts:
            density.look_at(config, part)
    assert world.rebuild().notes == []  # nobody has ranked yet
    monkeypatch.undo()
    monkeypatch.setattr(
        density,
        "standard_pictures",
        lambda catalog, recipe, rows, **how: (
            decoded.append(rows.num_rows) or pictures(catalog, recipe, rows, **how)
        ),
    )
    assert ranked(world).new == ITEMS
    assert sum(decoded) == ITEMS  # each picture once: those of the sample are not scored from bytes
    sample(world)  # the parts are gone


def test_a_kill_while_scores_are_written(world: World) -> None:
    config = world.write_config(rank={**RANK, "partition": 1})
    process = world.start("rank", "-c", str(config))
    table = world.catalog.table("scores")
    process.wait_for(lambda: table.version() >= 2)
    process.kill()
    left = scores(world)
    assert 2 <= len(left) < ITEMS
    # What has come to no end does not judge, and a rebuild does not go on with it.
    summary = world.rebuild(rules={"unlike_others": {"min_percentile": 60}})
    assert (summary.reasons, summary.ranked, summary.notes) == ({}, 0, [])
    found = ranked(world)
    assert (found.new, found.scored) == (ITEMS - len(left), ITEMS)
    kept = scores(world)
    assert all(kept[item]["mean"] == row["mean"] for item, row in left.items())


def test_a_sample_half_way_keeps_the_old_scores(world: World) -> None:
    from flows.ranking import density

    first = ranked(world)
    fill(world.images, range(ALIKE, ALIKE + ITEMS))
    world.rebuild(rank={**RANK, "on_rebuild": False})
    config = world.config()
    plan = density.plan_sample(config, density.read_sample(config))
    assert plan is not None and plan.pictures == 2 * ITEMS
    for part in plan.parts:
        density.look_at(config, part)
    density.keep_sample(config, plan)  # killed here
    low = {"unlike_others": {"min_percentile": 5}}
    summary = world.rebuild(rules=low)
    assert summary.ranked == 0
    assert "another one is half way; `nonesuch rank` sees to it" in summary.notes[0]
    assert summary.reasons == {"unlike_others": 1}
    assert {row["model"] for row in scores(world).values()} == {first.model}
    found = ranked(world)
    assert (found.new, found.scored) == (2 * ITEMS, 2 * ITEMS)
    assert world.rebuild(rules=low).notes == []


def test_a_takedown_takes_the_sample(world: World, in_this_process: Any) -> None:
    first = ranked(world)
    path = sample(world)
    gone = world.image_id("0005.jpg")
    done = forget(world.catalog, gone, "asked for")
    assert any(report.endswith(path.name) for report in done.reports)
    assert not path.exists()
    summary = world.rebuild()
    assert summary.notes == []  # nothing is new: nobody asks for it
    fill(world.images, [ALIKE])
    assert "the sample that pictures were compared with is gone" in world.rebuild().notes[0]
    outcome: Outcome = in_this_process("rank", "-c", str(world.write_config()))
    assert outcome.code == 0
    assert first.model not in outcome.out
    assert "Ranking by likeness to others" in outcome.out
    assert gone.encode() not in sample(world).read_bytes()
    assert gone not in scores(world)


def test_a_damaged_sample_is_drawn_anew(world: World) -> None:
    first = ranked(world)
    path = sample(world)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    fill(world.images, [ALIKE])
    (note,) = world.rebuild().notes
    assert "is no whole sample" in note
    assert ranked(world).scored == ITEMS + 1
    assert first.model != ranked(world).model


def test_a_picture_that_cannot_be_decoded(world: World) -> None:
    broken = world.image_id("0001.jpg")
    row = world.table("features").filter(pc.field("item_id") == broken).to_pylist()[0]
    pack = world.folder / world.root / "standard" / row["recipe"] / row["pack"]
    with pack.open("r+b") as file:
        file.seek(row["offset"])
        file.write(b"\0" * row["length"])
    found = ranked(world)
    assert found.damaged == {broken: "cannot be decoded"}
    assert (found.scored, found.new) == (ITEMS - 1, ITEMS - 1)
    assert world.rebuild().notes == [f"not ranked by density: {broken} cannot be decoded"]


def test_without_two_pictures_there_is_nothing_to_compare(world: World) -> None:
    from flows.rank import rank

    summary = rank(world.config(recipe={"width": 12, "height": 16}))  # nothing is of this recipe
    assert summary.rankings == []
    assert summary.notes == ["not ranked by likeness: it takes two pictures or more, got 0"]


def test_a_place_is_the_same_wherever_the_pictures_lie(world: World) -> None:
    """Another order of the packs, other partitions: the same sample, the same scores."""
    ranked(world)
    first = scores(world)
    shutil.rmtree(world.folder / world.root / "catalog" / "scores")
    shutil.rmtree(world.folder / world.root / "rank")
    table = world.catalog.table("features")
    rows = table.read()
    table.replace(rows.take(pa.array(np.arange(rows.num_rows)[::-1])))
    ranked(world, rank={**RANK, "partition": 5, "batch": 3})
    second = scores(world)
    assert {row["model"] for row in second.values()} == {row["model"] for row in first.values()}
    for item, row in first.items():
        assert second[item]["mean"] == pytest.approx(row["mean"], rel=1e-4)
