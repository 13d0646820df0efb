"""Where the loop stands, read from a real catalog."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.recipe import Recipe
from data_catalog import models
from data_catalog.catalog import Catalog
from data_catalog.models import Model
from data_catalog.schema import BUILDS, SCORES
from data_catalog.tables import Table
from flows.loop.notes import note_declined
from flows.review.prefect import PrefectServer
from flows.review.standing import LoopReader
from flows.settings import DatasetConfig, parse
from tests.flows.review.told_runs import write_run
from tests.flows.trainable import publish_pictures

RECIPE = Recipe().id
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture
def config(tmp_path: Path) -> DatasetConfig:
    raw = {"dataset": {"name": "shoes", "root": "catalog"}, "train": {"preset": "tiny"}}
    return parse(raw, name="nonesuch.toml", folder=tmp_path)


def reader(config: DatasetConfig) -> LoopReader:
    return LoopReader(config, Catalog(config.dataset.root), PrefectServer(config))


def add_build(catalog: Catalog, build: str, at: datetime, **counts: int) -> None:
    summary = {"items": 5, "accepted": 3, "flagged": 1, "rejected": 1, "failed": 0} | counts
    row = {
        "build": build,
        "recipe": "r",
        "summary": json.dumps(summary),
        "config": "{}",
        "inverted": False,
        "built_at": at,
    }
    catalog.table("builds").append(pa.Table.from_pylist([row], schema=BUILDS))


def add_scores(catalog: Catalog, model: str, items: list[str], at: datetime) -> None:
    rows = [
        {
            "item_id": item,
            "model": model,
            "mean": 0.5,
            "percentile": 50.0,
            "recipe": RECIPE,
            "scored_at": at,
        }
        for item in items
    ]
    catalog.table("scores").append(pa.Table.from_pylist(rows, schema=SCORES))


def model(run: str) -> Model:
    snapshots = (("kimg-000002.000",),)
    return Model(f"{run}@kimg-000002.000", (run,), snapshots, 1, "v1", "r", 16, 12, 2.0)


def test_before_anything_there_is_nothing_and_no_problem(config: DatasetConfig) -> None:
    told = reader(config)()
    assert (told.build, told.versions, told.runs, told.models) == (None, [], [], [])
    assert (told.rankings, told.server, told.problems) == ([], None, [])
    assert not told.needs_model
    assert told.preset == "tiny"
    assert "stylegan2-ada" in told.presets


def test_it_tells_the_newest_of_all(config: DatasetConfig, tmp_path: Path) -> None:
    catalog = Catalog(config.dataset.root)
    add_build(catalog, "old", AT)
    add_build(catalog, "new", AT + timedelta(hours=1), accepted=2, flagged=2)
    versions = [publish_pictures(tmp_path / "catalog", count=4, first=n) for n in (0, 10)]
    note_declined(catalog, 2, versions[1].hash, "1 decision is new, fewer than 50")
    write_run(tmp_path / "catalog" / "models", "v1-tiny")
    for run in ("first", "v1-tiny"):
        models.register(catalog, model(run))
    add_scores(catalog, "density-own-1", ["a", "b", "c", "d"], AT)
    add_scores(catalog, "first@kimg-000002.000", ["a", "b", "c"], AT)
    add_scores(catalog, "v1-tiny@kimg-000002.000", ["a", "b"], AT)
    add_scores(catalog, "v1-tiny@kimg-000002.000", ["b"], AT + timedelta(hours=2))
    told = reader(config)()
    assert told.problems == []
    assert told.build is not None
    assert (told.build.id, told.build.accepted, told.build.flagged) == ("new", 2, 2)
    assert [(found.version, found.items) for found in told.versions] == [(2, 4), (1, 4)]
    assert [found.declined for found in told.versions] == ["1 decision is new, fewer than 50", None]
    assert [run.name for run in told.runs] == ["v1-tiny"]
    assert [(found.runs, found.is_current) for found in told.models] == [
        (["v1-tiny"], True),
        (["first"], False),
    ]
    assert [(found.model, found.scored, found.ranked_at) for found in told.rankings] == [
        ("density-own-1", 4, AT),
        ("v1-tiny@kimg-000002.000", 2, AT + timedelta(hours=2)),
    ]


def test_tables_that_did_not_change_are_not_read_again(
    config: DatasetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    read = Table.read

    def reading(table: Table, *arguments: Any, **more: Any) -> Any:
        looked.append(table.name)
        return read(table, *arguments, **more)

    catalog = Catalog(config.dataset.root)
    add_build(catalog, "one", AT)
    publish_pictures(tmp_path / "catalog", count=4)
    models.register(catalog, model("v1-tiny"))
    look = reader(config)
    monkeypatch.setattr(Table, "read", reading)
    look()
    assert set(looked) == {"builds", "models", "scores", "versions"}
    looked.clear()
    for _ in range(3):
        look()
    assert looked == []
    add_build(catalog, "two", AT + timedelta(hours=1))
    told = look()
    assert told.build is not None
    assert told.build.id == "two"
    assert looked == ["builds"]


def test_what_cannot_be_found_out_is_said_and_hides_nothing(
    config: DatasetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_build(Catalog(config.dataset.root), "one", AT)

    def broken(*_: object) -> Any:
        raise OSError("the disk of the runs is away")

    monkeypatch.setattr("flows.review.trainings.summaries", broken)
    told = reader(config)()
    assert told.problems == ["the disk of the runs is away"]
    assert told.build is not None
