from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from curation import measures
from curation.subject import find_subject, measure_border

Pixels = NDArray[np.uint8]


def blurred(picture: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.uint8)


def product(size: int = 60) -> Pixels:
    """A coloured disc with an edge, on white."""
    picture = np.full((192, 144, 3), 255, np.uint8)
    cv2.circle(picture, (72, 96), size, (180, 40, 60), -1)
    cv2.circle(picture, (72, 96), size // 2, (30, 90, 160), -1)
    return picture


def fabric() -> Pixels:
    rows, columns = np.mgrid[0:192, 0:144]
    weave = ((rows // 4 + columns // 4) % 2 * 60 + 100).astype(np.uint8)
    return np.stack([weave, weave // 2, 255 - weave], axis=-1)


def scene(rng: np.random.Generator) -> Pixels:
    picture = rng.integers(0, 255, (24, 18, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(picture, (144, 192), interpolation=cv2.INTER_NEAREST), np.uint8)


def complexity(picture: Pixels) -> float:
    border = measure_border(picture)
    subject = find_subject(picture, border) if border.clean else None
    return measures.background_complexity(measures.grey(picture), subject)


def pattern(picture: Pixels) -> float:
    border = measure_border(picture)
    return measures.pattern(picture, find_subject(picture, border) if border.clean else None)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 400])
def test_unique_colours_are_counted_up_to_257(count: int) -> None:
    codes = np.arange(count, dtype=np.uint32)
    row = np.stack([codes % 256, codes // 256, codes * 0 + 9], axis=-1).astype(np.uint8)
    picture = np.tile(row, (3, 1, 1))
    assert measures.colours(picture) == min(count, 257)


def test_a_grey_picture_has_at_most_256_colours_and_no_chroma(photograph: Pixels) -> None:
    grey = np.repeat(measures.grey(photograph)[..., None], 3, axis=-1)
    assert measures.colours(grey) <= 256
    assert measures.chroma(grey) == 0.0
    assert measures.chroma(photograph) > 0.1
    assert measures.chroma(np.full((9, 9, 3), (255, 0, 0), np.uint8)) == 1.0


def test_blankness_orders_pictures_by_how_empty_they_are(photograph: Pixels) -> None:
    empty = np.full((192, 144, 3), 248, np.uint8)
    assert measures.blankness(empty) == 1.0
    values = [measures.blankness(p) for p in (photograph, product(60), product(20), empty)]
    assert values == sorted(values)
    noisy = np.clip(empty + np.random.default_rng(0).integers(-3, 4, empty.shape), 0, 255)
    assert measures.blankness(noisy.astype(np.uint8)) > 0.99


def test_entropy_of_known_histograms() -> None:
    assert measures.entropy(np.full((8, 8), 7, np.uint8)) == 0.0
    assert measures.entropy(np.arange(256, dtype=np.uint8).reshape(16, 16)) == pytest.approx(8.0)
    assert measures.entropy(np.array([[0, 255]] * 4, np.uint8)) == pytest.approx(1.0)


def test_more_blur_scores_lower(photograph: Pixels) -> None:
    sharp = cv2.resize(product(), (384, 512), interpolation=cv2.INTER_NEAREST)
    for picture in (np.asarray(sharp, np.uint8), photograph):
        scores = [measures.sharpness(measures.grey(blurred(picture, s))) for s in (0.6, 1, 2)]
        assert None not in scores
        assert scores == sorted(scores, key=lambda score: -(score or 0.0))


def test_a_flat_picture_with_one_sharp_edge_is_sharp() -> None:
    """Where the variance of the Laplacian calls it blurred."""
    picture = np.full((512, 384), 240, np.uint8)
    picture[:256] = 200
    score = measures.sharpness(picture)
    busy_but_blurred = blurred(
        np.random.default_rng(0).integers(0, 256, (512, 384), dtype=np.uint8), 2.0
    )
    other = measures.sharpness(busy_but_blurred)
    assert score is not None
    assert other is not None
    assert score > 0.7 > other
    assert (
        cv2.Laplacian(picture, cv2.CV_64F).var() < cv2.Laplacian(busy_but_blurred, cv2.CV_64F).var()
    )


def test_sharpness_does_not_depend_on_contrast() -> None:
    def edge(low: int, high: int) -> float:
        picture = np.full((512, 384), low, np.uint8)
        picture[:, 192:] = high
        score = measures.sharpness(blurred(picture, 1.5))
        assert score is not None
        return score

    assert edge(0, 255) == pytest.approx(edge(100, 160), rel=0.1)


def test_an_empty_picture_has_no_sharpness() -> None:
    assert measures.sharpness(np.full((64, 64), 128, np.uint8)) is None
    assert measures.sharpness(np.zeros((1, 1), np.uint8)) is None


def test_busier_backgrounds_score_higher() -> None:
    rng = np.random.default_rng(3)
    plain, busy = product(), scene(rng)
    cv2.circle(busy, (72, 96), 60, (180, 40, 60), -1)
    half = product()
    half[:, :72][:40] = busy[:, :72][:40]
    assert complexity(plain) < 0.01
    assert complexity(plain) < complexity(half) < complexity(busy)


def test_fabric_is_a_pattern_and_products_are_not(photograph: Pixels) -> None:
    assert pattern(fabric()) > 0.9
    for picture in (product(60), product(10), np.full((192, 144, 3), 255, np.uint8)):
        assert pattern(picture) == 0.0
    cut = product(60)[40:150, 20:124].copy()
    assert pattern(cut) < 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 192), (192, 1), (5, 5)])
def test_extreme_shapes(shape: tuple[int, int]) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    assert measures.blankness(picture) == 1.0
    assert measures.entropy(measures.grey(picture)) == 0.0
    assert complexity(picture) == 0.0
    assert pattern(picture) == 0.0
