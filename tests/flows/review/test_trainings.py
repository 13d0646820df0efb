"""Trainings as the review page shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.review import trainings
from flows.settings import DatasetConfig, parse
from review_ui.errors import NotFoundError
from tests.flows.review.told_runs import tick, write_run


@pytest.fixture
def config(tmp_path: Path) -> DatasetConfig:
    raw = {"dataset": {"name": "shoes", "root": "catalog"}}
    return parse(raw, name="nonesuch.toml", folder=tmp_path)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "catalog" / "models"


def test_a_run_tells_how_far_it_is(config: DatasetConfig, models: Path) -> None:
    ticks = [tick(1.0), tick(1.5)]
    folder = write_run(
        models,
        "v1-tiny",
        kimg=1.5,
        total_kimg=4.0,
        status="running",
        ticks=ticks,
        grids=[0.0, 1.5],
        metrics=[("kimg-000001.000", "fd_own", 9.0), ("kimg-000001.500", "fd_own", 7.0)],
    )
    with (folder / "ticks.jsonl").open("a") as file:
        file.write('{"cur_nimg": 1900, "sec_per')  # killed in the middle of a line
    [run] = trainings.told(config)
    assert (run.name, run.kimg, run.total_kimg) == ("v1-tiny", 1.5, 4.0)
    assert (run.status, run.is_alive) == ("lost", False)
    assert "ended without a word" in run.reason
    assert run.sec_per_kimg == 11.5
    assert run.metrics == {"fd_own": 7.0}
    assert run.grid is not None
    assert run.grid.kimg == 1.5
    assert run.grid.url.startswith("/runs/v1-tiny/grids/kimg-000001.500?v=")


def test_a_run_without_anything_yet_and_a_damaged_one_are_told_too(
    config: DatasetConfig, models: Path
) -> None:
    assert trainings.told(config) == []
    write_run(models, "fresh", kimg=0.0, total_kimg=4.0)
    write_run(models, "broken")
    (models / "broken" / "run.json").write_text("{")
    fresh, broken = trainings.told(config)
    assert (fresh.sec_per_kimg, fresh.metrics, fresh.grid) == (None, {}, None)
    assert broken.status == "failed"
    assert "is damaged" in broken.reason


def test_curves_are_means_of_few_enough_points(config: DatasetConfig, models: Path) -> None:
    count = 1_000
    ticks = [tick(n, loss_G=n % 2, loss_D=None if n > 5 else 1.0) for n in range(1, count + 1)]
    write_run(models, "v1-tiny", ticks=ticks)
    curves = {found.name: found for found in trainings.details(config, "v1-tiny").curves}
    assert set(curves) == {"loss_G", "loss_D", "ada_p", "sec_per_kimg"}
    loss = curves["loss_G"]
    assert len(loss.kimg) == len(loss.values) <= 240
    assert (loss.kimg[0], loss.kimg[-1]) == (5, count)
    assert all(value is not None and 0.35 < value < 0.65 for value in loss.values)
    assert loss.kimg == sorted(loss.kimg)
    assert curves["loss_D"].kimg == [1, 2, 3, 4, 5]
    with (models / "v1-tiny" / "ticks.jsonl").open("a") as file:
        file.write(f"{json.dumps(tick(count + 1, loss_G=1.0))}\n")
    grown = trainings.details(config, "v1-tiny").curves[0]
    assert grown.kimg[-1] == count + 1


def test_metrics_and_grids_are_in_the_order_of_the_training(
    config: DatasetConfig, models: Path
) -> None:
    metrics = [
        ("kimg-000002.000", "fd_own", 7.0),
        ("kimg-000001.000", "fd_own", float("inf")),
        ("kimg-000002.000", "kid_own", 0.1),
    ]
    write_run(models, "v1-tiny", metrics=metrics, grids=[2.0, 0.0, 1.0])
    found = trainings.details(config, "v1-tiny")
    fd, kid = found.metrics
    assert (fd.kimg, fd.values) == ([1.0, 2.0], [None, 7.0])
    assert (kid.kimg, kid.values) == ([2.0], [0.1])
    assert [grid.kimg for grid in found.grids] == [0.0, 1.0, 2.0, None]


def test_a_comparison_is_told_of_and_given(config: DatasetConfig, models: Path) -> None:
    assert trainings.compared_at(config) is None
    with pytest.raises(NotFoundError, match="nonesuch matrix"):
        trainings.comparison(config)
    write_run(models, "v1-tiny")
    (models / "compare.html").write_text("side by side")
    assert trainings.compared_at(config) is not None
    assert trainings.comparison(config) == b"side by side"


@pytest.mark.parametrize("name", ["none", "../models/v1-tiny", "..", ".", "v1-tiny/samples", ""])
def test_a_run_is_found_by_its_name_alone(config: DatasetConfig, models: Path, name: str) -> None:
    write_run(models, "v1-tiny", grids=[1.0])
    with pytest.raises(NotFoundError):
        trainings.details(config, name)


def test_without_a_folder_there_are_no_runs(tmp_path: Path) -> None:
    raw = {"dataset": {"name": "shoes", "root": "memory://shoes"}}
    config = parse(raw, name="nonesuch.toml", folder=tmp_path)
    assert trainings.told(config) == []
    assert trainings.compared_at(config) is None
    for ask in (trainings.comparison, lambda config: trainings.details(config, "v1-tiny")):
        with pytest.raises(NotFoundError, match=r"`train\.folder`.*is not set"):
            ask(config)
