from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from curation.synthetic.defects import PLANTABLE, PlantedImage, plant, plant_copy
from curation.synthetic.drawing import (
    RGB,
    draw_product,
    encode,
)
from data_catalog.schema import Reason

SMALL = (240, 180)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def decode(image: PlantedImage) -> RGB:
    with Image.open(io.BytesIO(image.data)) as picture:
        return np.asarray(picture.convert("RGB"))


def planted(defect: Reason, seed: int = 0) -> PlantedImage:
    return plant(rng(seed), defect, "x")


def detail(picture: RGB) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def foreground(picture: RGB) -> np.ndarray:
    """Where a picture differs from its upper left corner."""
    away = np.abs(picture.astype(int) - picture[0, 0].astype(int)).max(-1)
    return away > 60


@pytest.mark.parametrize("defect", PLANTABLE)
def test_planting_is_deterministic_and_says_what_it_is(defect: Reason) -> None:
    first = planted(defect)
    assert first == planted(defect)
    assert first.defect is defect and first.of is None


def test_sizes_of_what_is_planted() -> None:
    assert min(decode(planted(Reason.TOO_SMALL)).shape[:2]) < 300
    assert min(decode(planted(Reason.UPSCALED)).shape[:2]) < 192
    assert len(planted(Reason.TOO_FEW_BYTES).data) < 4000
    sides = decode(planted(Reason.ODD_ASPECT)).shape[:2]
    assert max(sides) / min(sides) > 3


@pytest.mark.parametrize("seed", range(4))
def test_what_moves_has_frames(seed: int) -> None:
    with Image.open(io.BytesIO(planted(Reason.ANIMATED, seed).data)) as picture:
        assert getattr(picture, "n_frames", 1) == 3


def test_a_grey_picture_has_no_colour_and_a_blank_one_no_content() -> None:
    grey = decode(planted(Reason.MONOCHROME)).astype(int)
    assert np.ptp(grey, axis=-1).max() <= 2
    for seed in range(4):
        assert foreground(decode(planted(Reason.BLANK, seed))).mean() < 0.01


def test_a_blurred_picture_has_less_detail_than_any_sound_one() -> None:
    blurred = max(detail(decode(planted(Reason.BLURRED, s))) for s in range(4))
    assert blurred < min(detail(draw_product(rng(s))) for s in range(4))


def test_subjects_in_the_wrong_place() -> None:
    for seed in range(4):
        aside = np.argwhere(foreground(decode(planted(Reason.OFF_CENTRE, seed)))).mean(0)
        assert np.abs(aside / (800, 600) - 0.5).min() > 0.15
        assert foreground(decode(planted(Reason.TINY_SUBJECT, seed))).mean() < 0.02
        cut = decode(planted(Reason.CUT_OFF, seed)).astype(int)
        edges = (cut[0], cut[-1], cut[:, 0], cut[:, -1])
        assert sum(e.std(axis=0).max() > 12 for e in edges) >= 2


@pytest.mark.parametrize("seed", range(4))
def test_files_that_are_no_pictures(seed: int) -> None:
    assert planted(Reason.EMPTY_FILE, seed).data == b""
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(planted(Reason.NOT_AN_IMAGE, seed).data))
    with pytest.raises((OSError, SyntaxError)):
        decode(planted(Reason.CORRUPT, seed))
    bomb = planted(Reason.TOO_MANY_PIXELS, seed).data
    width, height = struct.unpack(">II", bomb[16:24])
    assert len(bomb) < 1000 and width * height > 100_000_000
    assert planted(Reason.LINK_OUTSIDE, seed).link_to is not None


def original(suffix: str = ".png") -> PlantedImage:
    return PlantedImage(f"mug{suffix}", encode(draw_product(rng(), "mug", SMALL), suffix))


def test_a_pixel_duplicate_has_other_bytes() -> None:
    copy = plant_copy(rng(), Reason.PIXEL_DUPLICATE, "copy", original(), 0)
    assert copy.of == "mug.png" and copy.data != original().data
    assert np.array_equal(decode(copy), decode(original()))


def test_a_mirrored_copy_is_flipped() -> None:
    copy = decode(plant_copy(rng(), Reason.MIRRORED_COPY, "copy", original(), 0))
    assert np.abs(copy[:, ::-1].astype(int) - decode(original())).mean() < 4


@pytest.mark.parametrize("variant", range(5))
def test_a_near_duplicate_is_the_same_picture_to_the_eye(variant: int) -> None:
    copy = plant_copy(rng(), Reason.NEAR_DUPLICATE, "copy", original(), variant)
    shown = [
        cv2.resize(decode(i), (24, 32), interpolation=cv2.INTER_AREA) for i in (copy, original())
    ]
    likeness = np.corrcoef(shown[0].ravel(), shown[1].ravel())[0, 1]
    assert copy.data != original().data and likeness > 0.8


def test_what_cannot_be_planted_is_named() -> None:
    with pytest.raises(ValueError, match="`defect` must be one of"):
        planted(Reason.NEAR_DUPLICATE)
    with pytest.raises(ValueError, match="`defect` must be one of"):
        plant_copy(rng(), Reason.BLANK, "x", original(), 0)
    with pytest.raises(ValueError, match=r"broken\.jpg is none"):
        plant_copy(rng(), Reason.MIRRORED_COPY, "x", PlantedImage("broken.jpg", b"no"), 0)
