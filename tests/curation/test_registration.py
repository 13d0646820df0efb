from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from curation.registration import Relation, compare, prepare

Picture = NDArray[np.uint8]


def scene(seed: int = 0, height: int = 160, width: int = 120) -> Picture:
    """Smooth coloured noise: structure at many scales."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24):
        noise = rng.normal(0, 1, (cells, cells, 1)) * 6 / cells**0.5
        tint = rng.normal(0, 1, (cells, cells, 3)) * 2 / cells**0.5
        total += cv2.resize(noise + tint, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 14 * total, 0, 255).astype(np.uint8)


def product(colour: tuple[int, int, int], seed: int = 0) -> Picture:
    """A shape with folds, one dye all over, on a plain background."""
    folds = np.random.default_rng(seed).normal(0, 1, (12, 9))
    shade = cv2.resize(folds, (120, 160), interpolation=cv2.INTER_CUBIC)[..., None] * 0.12 + 1
    dyed = np.clip(np.array(colour) * shade, 0, 255)
    mask = np.zeros((160, 120), np.uint8)
    outline = np.array(
        [[35, 25], [85, 25], [112, 60], [92, 72], [88, 140], [32, 140], [28, 72], [8, 60]]
    )
    cv2.fillPoly(mask, [outline], 1)
    return np.where(mask[..., None] > 0, dyed, 245).astype(np.uint8)


def recoded(rgb: Picture) -> Picture:
    _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 40])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def halved(rgb: Picture) -> Picture:
    return np.asarray(cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def cropped(rgb: Picture) -> Picture:
    return np.ascontiguousarray(rgb[6:-6, 5:-4])


def cropped_at_a_corner(rgb: Picture) -> Picture:
    return np.ascontiguousarray(rgb[6:, 5:])


def brightened(rgb: Picture) -> Picture:
    return np.clip(rgb.astype(np.float32) * 1.15 - 8, 0, 255).astype(np.uint8)


def framed(rgb: Picture) -> Picture:
    frame = cv2.copyMakeBorder(rgb, 12, 12, 9, 9, cv2.BORDER_CONSTANT, value=(20, 90, 30))
    return np.asarray(frame, np.uint8)


CHANGES = [recoded, halved, cropped, cropped_at_a_corner, brightened, framed]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_changed_copy_is_the_same(change: Callable[[Picture], Picture], seed: int) -> None:
    picture = scene(seed)
    assert compare(picture, change(picture)).relation is Relation.SAME
    assert compare(change(picture), picture).relation is Relation.SAME


@pytest.mark.parametrize("change", CHANGES)
def test_a_flipped_and_changed_copy_is_mirrored(change: Callable[[Picture], Picture]) -> None:
    picture = scene(3)
    flipped = np.ascontiguousarray(change(picture)[:, ::-1])
    assert compare(picture, flipped).relation is Relation.MIRRORED


def test_distance_is_zero_for_itself_and_grows_with_the_change() -> None:
    picture = scene(4)
    itself, copy, other = (compare(picture, b) for b in (picture, recoded(picture), scene(5)))
    assert itself.distance == pytest.approx(0, abs=1e-3)
    assert itself.distance <= copy.distance < other.distance


def test_other_pictures_are_different() -> None:
    found = [compare(scene(a), scene(b)).relation for a in range(6) for b in range(a)]
    assert set(found) == {Relation.DIFFERENT}


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_pictures_match_nothing(level: int) -> None:
    blank = np.full((160, 120, 3), level, np.uint8)
    noise = np.random.default_rng(0).normal(0, 1, blank.shape)
    noisy = np.clip(blank + noise, 0, 255).astype(np.uint8)
    for other in (blank, noisy, scene(), product((200, 30, 30))):
        assert compare(blank, other).relation is Relation.DIFFERENT


@pytest.mark.parametrize("colour", [(30, 60, 200), (40, 160, 60), (60, 50, 50)])
def test_the_same_cut_in_another_colour_is_a_colourway(colour: tuple[int, int, int]) -> None:
    found = compare(product((200, 40, 50)), product(colour))
    assert found.relation is Relation.COLOURWAY
    assert found.colour > 25


def test_a_recoded_product_is_no_colourway() -> None:
    garment = product((200, 40, 50))
    assert compare(garment, recoded(garment)).relation is Relation.SAME


def test_a_tall_picture_is_not_a_wide_one() -> None:
    assert compare(scene(1), scene(1, 80, 120)).relation is Relation.DIFFERENT


def test_prepared_pictures_give_the_same_answer() -> None:
    a, b = scene(6), cropped(scene(6))
    assert compare(prepare(a), prepare(b)) == compare(a, b)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 160, 3), (160, 2, 3)])
def test_tiny_pictures_are_compared_without_failing(shape: tuple[int, int, int]) -> None:
    tiny = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    assert compare(tiny, scene()).relation is Relation.DIFFERENT


def test_refuses_what_is_no_picture() -> None:
    with pytest.raises(ValueError, match="uint8"):
        prepare(np.zeros((4, 4), np.uint8))
