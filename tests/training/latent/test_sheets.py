"""Sheets show every direction from end to end, small pictures enlarged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.blend import Recipe, blend
from training.latent.directions import Direction, DirectionSet, apply
from training.latent.draws import Truncation
from training.latent.layout import fitted
from training.latent.sampler import Sampler
from training.latent.sheets import blend_sheet, caption, direction_sheet
from training.models import load_model, load_snapshot


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain))


def some(count: int, num_ws: int = 6) -> DirectionSet:
    directions = (Direction(f"d{i}", torch.eye(8)[i], (0, 6), 5.0) for i in range(count))
    return DirectionSet("s", "sefa", "kimg-000000.032", 8, num_ws, tuple(directions))


def holds(sheet: np.ndarray, picture: np.ndarray) -> bool:
    """Tell whether a picture stands anywhere on a sheet, by its first pixels and then by all."""
    h, w = picture.shape[:2]
    places = (sheet[: -h + 1, : -w + 1] == picture[0, 0]).all(2)
    return any((sheet[y : y + h, x : x + w] == picture).all() for y, x in np.argwhere(places))


def test_holds_the_pictures_of_both_ends_and_of_the_middle(sampler: Sampler) -> None:
    found = some(2)
    sheet = np.asarray(direction_sheet(sampler, found, [3], columns=3))
    ws = sampler.ws([3])
    for direction in found.directions:
        for amount in (-3.0, 0.0, 3.0):
            (picture,) = fitted(sampler.render(apply(ws, direction, amount)))
            assert holds(sheet, picture)


def test_tells_how_far_it_is_and_grows_with_what_is_shown(sampler: Sampler) -> None:
    told: list[tuple[str, int, int]] = []
    large = direction_sheet(sampler, some(4), [0, 1], progress=lambda *a: told.append(a))
    assert told[-1] == ("sheet", 8, 8)
    small = direction_sheet(sampler, some(1), [0])
    assert large.width * large.height > 4 * small.width * small.height


def test_a_blend_stands_between_the_two_that_it_is_of(trained: Trained, tmp_path: Path) -> None:
    paths = [load_snapshot(run).path for run in (trained.plain, trained.folds[0])]
    made = blend(*paths, tmp_path / "new", Recipe(0.5))
    sheet = np.asarray(blend_sheet(made, Truncation(0.5)))
    for row, path in enumerate((paths[0], tmp_path / "new", paths[1])):
        own = Sampler(load_model(path))
        pictures = fitted(own.render(own.ws([0, 7], Truncation(0.5))))
        height, width = pictures.shape[1:3]
        top = row * (height + 2)
        left = sheet.shape[1] - 8 * (width + 2) + 2
        assert (sheet[top : top + height, left : left + width] == pictures[0]).all()
        assert (sheet[top : top + height, -width:] == pictures[1]).all()


def test_captions_are_short_and_plain() -> None:
    assert caption("rouge é") == "rouge ?"
    assert len(caption("x" * 99)) == 24


def test_refuses_another_model_and_too_few_columns(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="find directions in this model anew"):
        direction_sheet(sampler, some(1, num_ws=8))
    with pytest.raises(SetupError, match="at least 2 columns"):
        direction_sheet(sampler, some(1), columns=1)
