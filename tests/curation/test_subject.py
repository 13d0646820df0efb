from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.subject import find_subject, measure_border

Pixels = NDArray[np.uint8]


def on_plain(
    box: tuple[int, int, int, int], background: tuple[int, int, int] = (250, 250, 250)
) -> Pixels:
    """A dark rectangle (left, top, right, bottom) on a plain 192×144 picture."""
    picture = np.full((192, 144, 3), background, np.uint8)
    left, top, right, bottom = box
    picture[top:bottom, left:right] = (40, 60, 120)
    return picture


def test_border_of_a_plain_picture() -> None:
    border = measure_border(on_plain((40, 50, 90, 120), (200, 210, 220)))
    assert border.colour == (200, 210, 220)
    assert border.uniformity == 1.0


def test_a_busy_border_is_less_uniform(photograph: Pixels) -> None:
    assert measure_border(photograph).uniformity < 0.5


@given(st.integers(4, 60), st.integers(4, 80), st.integers(20, 70), st.integers(20, 90))
def test_the_box_is_found(left: int, top: int, width: int, height: int) -> None:
    picture = on_plain((left, top, left + width, top + height))
    subject = find_subject(picture, measure_border(picture))
    expected = (left / 144, top / 192, (left + width) / 144, (top + height) / 192)
    assert subject.found
    assert subject.edges == 0
    assert subject.box == pytest.approx(expected, abs=0.01)


def test_centred_and_off_centre() -> None:
    def offset(box: tuple[int, int, int, int]) -> float:
        picture = on_plain(box)
        return find_subject(picture, measure_border(picture)).centre_offset

    assert offset((42, 66, 102, 126)) < 0.01
    assert offset((42, 66, 102, 126)) < offset((55, 66, 115, 126)) < offset((75, 66, 135, 126))


def test_edges_are_counted() -> None:
    def edges(box: tuple[int, int, int, int]) -> int:
        picture = on_plain(box)
        return find_subject(picture, measure_border(picture)).edges

    assert edges((40, 40, 100, 150)) == 0
    assert edges((40, 40, 100, 192)) == 1
    assert edges((60, 40, 144, 192)) == 2


def test_light_from_one_side_is_background() -> None:
    picture = on_plain((40, 50, 100, 140)).astype(float)
    picture *= np.linspace(1.0, 0.6, 144)[:, None]
    lit = picture.astype(np.uint8)
    border = measure_border(lit)
    assert border.uniformity > 0.95
    subject = find_subject(lit, border)
    assert subject.edges == 0
    assert subject.box == pytest.approx((40 / 144, 50 / 192, 100 / 144, 140 / 192), abs=0.02)


def test_specks_and_soft_shadows_do_not_count() -> None:
    picture = on_plain((40, 50, 100, 140))
    clean = find_subject(picture, measure_border(picture)).box
    picture[5:8, 5:8] = 0
    cv2.rectangle(picture, (30, 141), (110, 150), (235, 235, 235), -1)
    assert find_subject(picture, measure_border(picture)).box == clean


def test_nothing_stands_out_of_an_empty_picture() -> None:
    picture = np.full((192, 144, 3), 255, np.uint8)
    subject = find_subject(picture, measure_border(picture))
    assert not subject.found
    assert subject.box == (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 192), (192, 1), (2, 3)])
def test_extreme_shapes(shape: tuple[int, int]) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    find_subject(picture, measure_border(picture))
