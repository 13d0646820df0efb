"""What is read of a run to compare it, also of one that is torn or under way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.compare.folders import make_run
from training.compare.collect import read, speed
from training.errors import SetupError


def test_a_run_is_read_with_its_figures_and_grids(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "v3-tiny-s1", version=3, seed=1, kimg=(0, 1, 2))
    run = read(folder, "pov")
    assert (run.name, run.version, run.split, run.preset, run.seed) == (
        *("v3-tiny-s1", 3, "pov"),
        *("tiny", 1),
    )
    assert (run.status, run.kimg, run.total_kimg) == ("finished", 2.0, 2.0)
    assert run.metrics["fd_own"] == ((1.0, 40.0), (2.0, 20.0))
    assert run.newest_metrics() == {"fd_own": 20.0}
    assert run.ticks["loss_G"] == ((1.0, 1.0), (2.0, 2.0))
    assert list(run.grids) == [0, 1000, 2000]
    assert run.grids[2000].name == "kimg-000002.000.png"
    assert run.reals == folder / "samples" / "reals.png"
    assert run.sec_per_kimg == speed(folder) == 15.0  # the median of 10 and 20


def test_what_is_torn_or_not_finite_is_left_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", kimg=(0, 1, 2), figures=(float("inf"), 20.0))
    with (folder / "ticks.jsonl").open("a") as file:
        file.write('{"kimg": 3, "sec_per_kimg": null}\nno json\n{"kimg": 4, "sec_per')
    (folder / "config.json").write_text("{")
    run = read(folder)
    assert run.metrics["fd_own"] == ((2.0, 20.0),)
    assert [kimg for kimg, _ in run.ticks["kimg"]] == [1, 2, 3]
    assert [kimg for kimg, _ in run.ticks["sec_per_kimg"]] == [1, 2]
    assert run.seed is None


def test_a_run_that_nobody_trains_is_lost(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", kimg=(0,))
    record = json.loads((folder / "run.json").read_text()) | {"status": "running"}
    (folder / "run.json").write_text(json.dumps(record))
    run = read(folder)
    assert run.status == "lost"
    assert "the same command goes on" in run.reason


def test_before_its_first_tick_a_run_has_no_speed(tmp_path: Path) -> None:
    assert speed(tmp_path) is None
    assert read(make_run(tmp_path / "run", kimg=(0,))).sec_per_kimg is None


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"holds no run\.json"):
        read(tmp_path)
