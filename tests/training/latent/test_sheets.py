"""Sheets show every direction from end to end, small pictures enlarged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.directions import Direction, DirectionSet, apply
from training.latent.sampler import Sampler
from training.latent.sheets import caption, direction_sheet, fitted
from training.models import load_snapshot


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


def test_small_pictures_are_enlarged_by_whole_factors_and_large_ones_shrunk() -> None:
    small = np.random.default_rng(0).integers(0, 256, (2, 16, 12, 3), np.uint8)
    large = fitted(small)
    assert large.shape == (2, 96, 72, 3)
    assert (large[:, ::6, ::6] == small).all()
    assert fitted(np.zeros((1, 1024, 512, 3), np.uint8)).shape == (1, 256, 128, 3)


def test_captions_are_short_and_plain() -> None:
    assert caption("rouge é") == "rouge ?"
    assert len(caption("x" * 99)) == 24


def test_refuses_another_model_and_too_few_columns(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="find directions in this model anew"):
        direction_sheet(sampler, some(1, num_ws=8))
    with pytest.raises(SetupError, match="at least 2 columns"):
        direction_sheet(sampler, some(1), columns=1)
