"""Sheets: what stands where, and how large."""

from __future__ import annotations

import numpy as np
import pytest

from training.errors import SetupError
from training.latent.layout import GREY, Sheet, fitted, fitted_size, labelled, stack


def test_small_pictures_are_enlarged_pixel_by_pixel() -> None:
    picture = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(1, 2, 2, 3)
    sheet = np.asarray(labelled(picture, longer=8))
    assert np.array_equal(sheet, picture[0].repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("columns", [1, 30, 900])
def test_a_sheet_of_many_stays_one_that_viewers_open(columns: int) -> None:
    sheet = labelled(np.zeros((900, 64, 48, 3), np.uint8), columns=columns)
    assert max(sheet.size) <= 16_000
    assert max(sheet.size) > 15_000 or columns == 30  # no smaller than it must be


def test_sheets_are_put_one_below_another() -> None:
    sheet = labelled(np.zeros((2, 64, 48, 3), np.uint8))
    assert stack([sheet, sheet]).height > 2 * sheet.height


def test_a_sheet_that_pictures_would_vanish_on_is_refused() -> None:
    with pytest.raises(SetupError, match=r"at most 3,200 rows .* got 3,201 and 1; show fewer"):
        Sheet(3201, (64, 48), columns=1)
    assert Sheet(3200, (64, 48), columns=1).cell == (1, 1)


def test_pictures_that_come_one_by_one_lie_as_those_that_come_at_once() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 16, 12, 3), np.uint8)
    captions = {"above": ["a", "b", "c"], "beside": ["1", "2", "3"]}
    sheet = Sheet(7, (16, 12), columns=3, paper=GREY, **captions)  # type: ignore[arg-type]
    for picture in pixels:
        sheet.add(picture[None])
    expected = labelled(pixels, columns=3, paper=GREY, **captions)  # type: ignore[arg-type]
    assert np.array_equal(np.asarray(sheet.image), np.asarray(expected))
    assert tuple(np.asarray(sheet.image)[-1, -1]) == GREY  # two places are empty


def test_fitted_pictures_are_enlarged_by_whole_factors_or_shrunk() -> None:
    small = np.random.default_rng(0).integers(0, 256, (2, 16, 12, 3), np.uint8)
    large = fitted(small)
    assert large.shape == (2, 96, 72, 3)
    assert (large[:, ::6, ::6] == small).all()
    assert fitted(np.zeros((1, 1024, 512, 3), np.uint8)).shape == (1, 256, 128, 3)
    assert [fitted_size(size) for size in ((96, 3), (200, 250), (64, 48))] == [
        (96, 3),
        (200, 250),
        (128, 96),
    ]
