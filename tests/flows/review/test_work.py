"""Work that people start from the page, by a process of the command line."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_catalog import models
from flows.review.pipeline import CatalogPipeline
from flows.review.work import came_of, done, follow
from flows.settings import load
from review_ui.errors import ReviewError
from review_ui.feed import Done, Tell
from review_ui.loop import LoopTold, Options, VersionTold
from tests.flows.review.told_runs import BEGAN
from tests.flows.trainable import TRAIN, world_in
from tests.flows.world import World


def quiet(*_: object) -> None:
    """Take no notice of how far work is."""


@contextlib.contextmanager
def pipeline_of(file: Path) -> Iterator[CatalogPipeline]:
    with contextlib.closing(CatalogPipeline(load(file), file)) as pipeline:
        yield pipeline


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A published version; no Prefect server is known."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return world_in(tmp_path)


def test_a_training_is_run_to_its_end_and_seen(world: World) -> None:
    file = world.folder / "nonesuch.toml"
    with pipeline_of(file) as pipeline:
        came = pipeline.work("train", Options(version=1, preset="tiny"), quiet)
        assert came == Done("v1-tiny: finished at 0.032 of 0.032 kimg")
        [run] = pipeline.loop_state().runs
        assert (run.name, run.status, run.is_alive) == ("v1-tiny", "finished", False)
        details = pipeline.run_details("v1-tiny")
        assert {curve.name for curve in details.curves} >= {"loss_G", "loss_D", "ada_p"}
        assert [grid.kimg for grid in details.grids] == [0.0, 0.016, 0.032, None]
        assert pipeline.grid("v1-tiny", details.grids[-1].id, "small")[:3] == b"\xff\xd8\xff"
        with pytest.raises(ReviewError, match="no version 7"):
            pipeline.work("train", Options(version=7), quiet)


def test_who_stops_the_page_has_the_training_saved(world: World) -> None:
    run = {**TRAIN["run"], "total_kimg": 500.0}
    file = world.write_config(
        dataset={"name": "shoes", "root": "catalog"}, train={**TRAIN, "run": run}
    )
    said: list[str] = []

    def train(pipeline: CatalogPipeline) -> None:
        try:
            said.append(pipeline.work("train", Options(), quiet).message)
        except ReviewError as error:
            said.append(str(error))

    with pipeline_of(file) as pipeline:
        thread = threading.Thread(target=train, args=(pipeline,))
        thread.start()
        wait_for(lambda: any(run.is_alive and run.kimg for run in pipeline.loop_state().runs))
    thread.join()
    with pipeline_of(file) as pipeline:
        [left] = pipeline.loop_state().runs
    assert (left.status, left.is_alive) == ("stopped", False)
    assert left.kimg < 500
    assert said
    assert said[0].startswith("v1-tiny: stopped at")


def test_what_a_server_has_no_deployment_of_is_done_by_a_process_that_says_what_is_wrong(
    world: World, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    assert models.current(world.catalog) is None
    file = world.write_config(rank={"density": False})  # which needs a model
    with pipeline_of(file) as pipeline, pytest.raises(ReviewError) as no:
        pipeline.work("rank", Options(), quiet)
    assert "model" in str(no.value)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


# ---- Words. --------------------------------------------------------------------------------------


def test_progress_is_told_and_of_the_rest_the_error_is_kept() -> None:
    told: list[tuple[str, int, int]] = []

    def tell(stage: str, done: int, total: int, url: str | None = None) -> None:
        told.append((stage, done, total))

    take: Tell = tell
    lines = [
        '{"stage": "judge", "done": 3, "total": null}',
        "",
        "a warning",
        *(f"tick {n}" for n in range(1_000)),
        "error: the first line",
        "and the second",
    ]
    assert follow(lines, take) == ["the first line", "and the second"]
    assert told == [("judge", 3, 0)]
    assert follow(["Traceback", "KeyError: 'x'"], take) == ["KeyError: 'x'"]


def test_what_came_of_it_is_said_alike_whoever_has_done_it() -> None:
    version = VersionTold(version=2, items=1_500, shards=1, published_at=BEGAN)
    by_command = done("publish", {"version": 2, "items": 1_500, "shards": 1})
    by_prefect = came_of("publish", LoopTold(), LoopTold(versions=[version]))
    assert by_command == by_prefect == Done("Version 2: 1,500 items in 1 shard", 2, 1_500, 1)
    again = came_of("publish", LoopTold(versions=[version]), LoopTold(versions=[version]))
    assert "published already" in again.message
    counts = {"items": 9, "accepted": 5, "flagged": 2, "rejected": 1, "failed": 1}
    assert done("rebuild", counts).message == (
        "9 items: 5 accepted, 2 flagged, 1 rejected, 1 failed"
    )
    rankings = [
        {"scorer": "density", "scored": 1_009, "low": 3, "high": 0},
        {"scorer": "discriminator", "scored": 8, "low": 2, "high": 1},
    ]
    assert done("rank", {"rankings": rankings, "notes": ["too few"]}).message == (
        "1,009 items ranked by likeness to others (3 low to look at); "
        "8 items ranked by D score (2 low, 1 high to look at); too few"
    )


def test_of_several_versions_all_are_said() -> None:
    both = [
        {"version": 4, "split": "summer", "items": 30, "shards": 1},
        {"version": 5, "split": "winter", "items": 1_020, "shards": 2},
    ]
    told = [VersionTold(published_at=BEGAN, **version) for version in reversed(both)]
    by_command = done("publish", {**both[1], "versions": both})
    by_prefect = came_of("publish", LoopTold(), LoopTold(versions=told))
    said = "Version 4 (summer): 30 items in 1 shard; version 5 (winter): 1,020 items in 2 shards"
    assert by_command == by_prefect == Done(said, 5, 1_020, 2)
