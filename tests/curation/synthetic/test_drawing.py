from __future__ import annotations

from itertools import combinations

import imagehash
import numpy as np
import pytest
from PIL import Image

from curation.synthetic.drawing import (
    RGB,
    draw_clutter,
    draw_colourways,
    draw_fabric,
    draw_product,
    encode,
)
from curation.synthetic.outlines import KINDS

SMALL = (240, 180)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def foreground(picture: RGB) -> np.ndarray:
    """Where a picture differs from its upper left corner."""
    away = np.abs(picture.astype(int) - picture[0, 0].astype(int)).max(-1)
    return away > 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_product_looks_like_a_photograph_on_a_plain_background(kind: str) -> None:
    picture = draw_product(rng(), kind, SMALL)
    assert picture.shape == (*SMALL, 3) and picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 257
    frame = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert frame.std(axis=0).max() < 12
    assert 0.02 < foreground(picture).mean() < 0.8


def test_one_state_one_picture() -> None:
    assert np.array_equal(draw_product(rng(3), size=SMALL), draw_product(rng(3), size=SMALL))
    assert not np.array_equal(draw_product(rng(3), size=SMALL), draw_product(rng(4), size=SMALL))


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match=r"must be one of shirt.*got 'yacht'"):
        draw_product(rng(), "yacht")


def test_products_are_told_apart_by_a_perceptual_hash() -> None:
    source = rng()
    kinds = list(KINDS)
    hashes = [
        imagehash.phash(Image.fromarray(draw_product(source, kinds[i % 12], SMALL)))
        for i in range(96)
    ]
    distances = [a - b for a, b in combinations(hashes, 2)]
    assert np.mean([d <= 6 for d in distances]) < 0.003


def test_fill_and_centre_place_the_product() -> None:
    picture = draw_product(rng(1), "mug", (300, 300), fill=0.3, centre=(0.25, 0.75))
    rows, columns = np.nonzero(foreground(picture))
    assert abs(columns.mean() / 300 - 0.25) < 0.06 and abs(rows.mean() / 300 - 0.75) < 0.06
    assert 0.15 < np.ptp(columns) / 300 < 0.4


def test_colourways_share_an_outline_and_differ_in_colour() -> None:
    ways = list(draw_colourways(rng(), 5, "dress", SMALL))
    shapes = [foreground(w) for w in ways]
    for shape in shapes[1:]:
        assert (shape & shapes[0]).sum() / (shape | shapes[0]).sum() > 0.9
    colours = [w[s].mean(axis=0) for w, s in zip(ways, shapes, strict=True)]
    assert min(np.abs(a - b).max() for a, b in combinations(colours, 2)) > 20


def test_fabric_is_the_same_everywhere_and_clutter_nowhere_plain() -> None:
    fabric, clutter = draw_fabric(rng(), SMALL), draw_clutter(rng(), SMALL)
    quarters = [q.mean(axis=(0, 1)) for half in np.split(fabric, 2) for q in np.split(half, 2, 1)]
    assert np.ptp(quarters, axis=0).max() < 25
    assert clutter[:20].std() > 25 and clutter[-20:].std() > 15


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(ValueError, match="`suffix` must be one of"):
        encode(draw_product(rng(), size=SMALL), ".bmp")
