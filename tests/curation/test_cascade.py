from __future__ import annotations

import cv2
import numpy as np
import pytest

from curation.cascade import detect, load_cascade
from curation.errors import CurationError
from curation.recipe import Detector
from tests.curation.faces import draw_face

FACE = Detector(cascade="haarcascade_frontalface_alt", min_neighbors=3, min_size=60, margin=0.0)


def test_a_face_is_found_with_its_margin() -> None:
    face = draw_face()
    ((x, y, width, height),) = detect(face, FACE)
    assert x < 300 < x + width
    assert y < 300 < y + height
    wide = FACE.model_copy(update={"margin": 0.2})
    ((x2, y2, width2, height2),) = detect(face, wide)
    assert width2 == pytest.approx(1.4 * width, abs=2)
    # Twice the margin above: tops of heads stay in.
    assert y - y2 == pytest.approx(0.4 * height, abs=2)
    assert y2 + height2 - (y + height) == pytest.approx(0.2 * height, abs=2)
    assert x2 < x


def test_several_faces_come_largest_first_and_stay_inside() -> None:
    small = np.asarray(cv2.resize(draw_face(), (400, 400), interpolation=cv2.INTER_AREA), np.uint8)
    both = np.full((600, 1000, 3), 235, np.uint8)
    both[:, 400:] = draw_face()
    both[:400, :400] = small
    boxes = detect(both, FACE.model_copy(update={"margin": 2.0}))
    assert len(boxes) == 2
    assert boxes[0][0] > boxes[1][0]
    for x, y, width, height in boxes:
        assert x >= 0
        assert y >= 0
        assert x + width <= 1000
        assert y + height <= 600
    assert len(detect(both, FACE.model_copy(update={"max_items": 1}))) == 1


def test_nothing_is_found_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert detect(noise, FACE) == []


def test_an_unknown_cascade_is_named_with_the_known_ones() -> None:
    with pytest.raises(CurationError, match=r"no_such_cascade.*haarcascade_eye"):
        load_cascade("no_such_cascade")
