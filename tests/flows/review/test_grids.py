"""Grids of trainings as the review page gives them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from curation.preview import previews
from flows.review.aside import Aside
from flows.review.grids import Grids, Render
from flows.settings import DatasetConfig, parse
from review_ui.errors import NotFoundError
from tests.flows.review.told_runs import picture, write_run


@pytest.fixture
def config(tmp_path: Path) -> DatasetConfig:
    raw = {"dataset": {"name": "shoes", "root": "catalog"}}
    return parse(raw, name="nonesuch.toml", folder=tmp_path)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "catalog" / "models"


@pytest.fixture
def renderer() -> Iterator[Render]:
    aside: Render = Aside(previews, 30.0)
    yield aside
    aside.close()


def test_a_grid_is_encoded_anew_in_the_size_that_is_shown(
    config: DatasetConfig, models: Path, renderer: Render
) -> None:
    folder = write_run(models, "v1-tiny", grids=[1.0])
    grids = Grids(config, renderer)
    sizes = [
        Image.open(io.BytesIO(grids.get("v1-tiny", "kimg-000001.000", size))).size
        for size in ("small", "large")
    ]
    assert sizes == [(640, 480), (1200, 900)]
    before = grids.get("v1-tiny", "reals", "small")
    assert before[:3] == b"\xff\xd8\xff"
    Image.fromarray(picture(99)).save(folder / "samples" / "reals.png")
    os.utime(folder / "samples" / "reals.png", ns=(1, 1))
    assert grids.get("v1-tiny", "reals", "small") != before


@pytest.mark.parametrize("grid", ["none", "../run", "..", "", "reals.png", "linked", "wrong"])
def test_no_file_but_a_grid_is_given(
    config: DatasetConfig, models: Path, renderer: Render, grid: str
) -> None:
    folder = write_run(models, "v1-tiny")
    secret = folder.parent / "secret.png"
    Image.fromarray(picture(1)).save(secret)
    (folder / "samples" / "linked.png").symlink_to(secret)
    (folder / "samples" / "wrong.png").write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(NotFoundError):
        Grids(config, renderer).get("v1-tiny", grid, "large")


def test_many_who_want_the_same_wait_for_one_encoding(
    config: DatasetConfig, models: Path, renderer: Render
) -> None:
    write_run(models, "v1-tiny")
    asked: list[object] = []

    def counting(task: tuple[bytes, object, int]) -> bytes | str:
        asked.append(task)
        return renderer(task)  # type: ignore[arg-type]

    grids = Grids(config, counting)  # type: ignore[arg-type]
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: grids.get("v1-tiny", "reals", "large"), range(24)))
    assert len(found) == len(asked) == 1


@pytest.mark.parametrize("name", ["none", "../models/v1-tiny", "..", "v1-tiny/samples", ""])
def test_its_run_is_found_by_its_name_alone(
    config: DatasetConfig, models: Path, renderer: Render, name: str
) -> None:
    write_run(models, "v1-tiny", grids=[1.0])
    with pytest.raises(NotFoundError):
        Grids(config, renderer).get(name, "reals", "small")
