from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from curation.recipe import Recipe
from curation.resize import shrink
from curation.standardize import encode, place, standardize
from curation.subject import find_subject, measure_border

Pixels = NDArray[np.uint8]


def framed(rgb: Pixels, **recipe: object) -> tuple[Pixels, Pixels]:
    settings = Recipe.model_validate({"width": 96, "height": 128, **recipe})
    small = shrink(rgb)
    border = measure_border(small)
    subject = find_subject(small, border) if border.plain else None
    frame, content, _ = standardize(rgb, settings, border, subject)
    return frame, content


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from(["pad", "crop", "top_crop", "subject"]),
    st.sampled_from([1.0, 2.0, 8.0]),
)
def test_always_the_exact_size_and_never_stretched(
    width: int, height: int, fit: str, max_upscale: float
) -> None:
    rgb = np.full((height, width, 3), 255, np.uint8)
    rgb[height // 4 : height // 2, width // 4 : width // 2] = (20, 40, 60)
    recipe = Recipe.model_validate(
        {"width": 96, "height": 128, "fit": fit, "max_upscale": max_upscale}
    )
    small = shrink(rgb)
    border = measure_border(small)
    subject = find_subject(small, border) if border.plain else None
    frame, content, placement = standardize(rgb, recipe, border, subject)
    assert frame.shape == (128, 96, 3)
    assert placement.scale <= max_upscale
    # One scale for both directions: what is visible of the picture keeps its shape.
    assert content.shape[0] <= max(1, height * placement.scale) + 1
    assert content.shape[1] <= max(1, width * placement.scale) + 1


@pytest.mark.parametrize(("width", "height"), [(200, 100), (100, 200), (150, 150)])
def test_a_circle_stays_a_circle(width: int, height: int) -> None:
    rgb = np.full((height, width, 3), 255, np.uint8)
    cv2.circle(rgb, (width // 2, height // 2), 30, (0, 0, 0), -1)
    for fit in ("pad", "crop", "top_crop", "subject"):
        frame, _ = framed(rgb, fit=fit, max_upscale=8.0)
        dark = frame[..., 0] < 128
        if fit != "top_crop":
            rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
            tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert abs(int(tall) - int(wide)) <= 2 or fit == "crop"


def test_pad_fills_with_the_border_colour_or_the_one_asked_for() -> None:
    rgb = np.full((50, 100, 3), (200, 180, 160), np.uint8)
    frame, content = framed(rgb)
    assert content.shape == (48, 96, 3)
    assert frame[0, 0].tolist() == [200, 180, 160]
    frame, _ = framed(rgb, background=[0, 0, 0])
    assert frame[0, 0].tolist() == [0, 0, 0]
    assert frame[64, 48].tolist() == [200, 180, 160]


def test_crop_fills_the_frame_around_the_middle_and_top_crop_keeps_the_top() -> None:
    rgb = np.zeros((400, 100, 3), np.uint8)
    rgb[:, :, 0] = np.linspace(0, 255, 400).astype(np.uint8)[:, None]
    middle, _ = framed(rgb, fit="crop")
    top, _ = framed(rgb, fit="top_crop")
    assert abs(int(middle[64, 48, 0]) - 127) < 4
    assert top[0, 48, 0] < 4


def test_subject_is_centred_and_scaled_to_its_share() -> None:
    rgb = np.full((600, 600, 3), 250, np.uint8)
    rgb[30:130, 40:90] = (120, 30, 30)
    frame, _ = framed(rgb, fit="subject", subject_share=0.8, max_upscale=8.0)
    dark = frame[..., 1] < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    assert abs((rows[0] + rows[-1] + 1) / 2 - 64) <= 2
    assert abs((columns[0] + columns[-1] + 1) / 2 - 48) <= 2
    assert (np.ptp(rows) + 1) / 128 == pytest.approx(0.8, abs=0.04)


def test_subject_on_a_busy_background_falls_back_to_pad() -> None:
    busy = np.random.default_rng(0).integers(0, 256, (240, 180, 3), dtype=np.uint8)
    assert np.array_equal(framed(busy, fit="subject")[0], framed(busy)[0])


def test_enlarging_stops_at_the_limit() -> None:
    recipe = Recipe(width=96, height=128, max_upscale=2.0)
    placement = place(10, 10, recipe, None)
    assert placement.scale == 2.0
    assert placement.wanted == pytest.approx(9.6)
    frame, content = framed(np.full((10, 10, 3), 9, np.uint8), max_upscale=2.0)
    assert content.shape == (20, 20, 3)
    assert frame.shape == (128, 96, 3)


def test_encodings(photograph: Pixels) -> None:
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(encode(photograph, "png", 95)))), photograph
    )
    jpeg = Image.open(io.BytesIO(encode(photograph, "jpeg", 95)))
    assert jpeg.format == "JPEG"
    assert all(part[1:3] == (1, 1) for part in jpeg.layer)  # 4:4:4
    assert Image.open(io.BytesIO(encode(photograph, "webp", 90))).format == "WEBP"
    assert len(encode(photograph, "jpeg", 60)) < len(encode(photograph, "jpeg", 95))
