from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from curation.resize import SMALL_SIDE, fit_within, resize, shrink

Pixels = NDArray[np.uint8]


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 300))
def test_fit_within_keeps_the_shape_and_never_enlarges(width: int, height: int, side: int) -> None:
    out_width, out_height = fit_within(width, height, side)
    assert 1 <= max(out_width, out_height) <= max(side, 1)
    assert out_width <= width
    assert out_height <= height
    scale = min(1.0, side / max(width, height))
    assert abs(out_width - width * scale) <= 1
    assert abs(out_height - height * scale) <= 1


def test_shrinking_in_two_steps_is_near_the_area_average(photograph: Pixels) -> None:
    large = resize(photograph, 450, 600)
    small = shrink(large)
    assert small.shape == (SMALL_SIDE, 144, 3)
    reference = np.asarray(Image.fromarray(large).resize((144, SMALL_SIDE), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - reference).mean() < 1.5


def test_small_pictures_are_left_as_they_are(photograph: Pixels) -> None:
    assert shrink(photograph[:100, :90]).shape == (100, 90, 3)
    assert resize(photograph, 180, 240) is photograph


def test_extreme_shapes() -> None:
    assert shrink(np.zeros((1, 30_000, 3), np.uint8)).shape == (1, SMALL_SIDE, 3)
    assert resize(np.zeros((1, 1, 3), np.uint8), 384, 512).shape == (512, 384, 3)


def test_near_full_size_bicubic_beats_the_area_average(photograph: Pixels) -> None:
    width, height = 172, 230
    reference = np.asarray(
        Image.fromarray(photograph).resize((width, height), Image.Resampling.LANCZOS)
    ).astype(float)
    box = np.asarray(Image.fromarray(photograph).resize((width, height), Image.Resampling.BOX))
    ours = resize(photograph, width, height)
    assert ((ours - reference) ** 2).mean() < ((box - reference) ** 2).mean()
