"""Resizing, by the method that is best at each scale."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SMALL_SIDE: Final = 192
THUMB_SIDE: Final = 160

# Against a windowed-sinc reference on photographs, bicubic stays ahead of the area average down
# to this scale (45.3 against 42.2 dB at 0.8, 41.9 against 42.3 dB at 0.7) and costs less;
# below, it aliases. docs/decisions/0003 has the table.
_CUBIC_DOWN_TO: Final = 0.75


def resize(rgb: Pixels, width: int, height: int) -> Pixels:
    """Resize to (`height`, `width`): area average for much smaller, bicubic otherwise.

    Parameters
    ----------
    rgb : ndarray of shape (H, W) or (H, W, 3), uint8
    width, height : int
        px, at least 1.
    """
    if rgb.shape[:2] == (height, width):
        return rgb
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    method = cv2.INTER_CUBIC if scale >= _CUBIC_DOWN_TO else cv2.INTER_AREA
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=method), dtype=np.uint8)


def fit_within(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height of the same shape whose longer side is at most `side`; never enlarged."""
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def shrink(rgb: Pixels, side: int = SMALL_SIDE) -> Pixels:
    """Reduce to a longer side of `side` px for measuring; smaller images are returned as they are.

    A general area average costs more than a JPEG decode. Halving by OpenCV's 2×2 average while
    the picture is more than twice too large, and one bilinear step for the rest, come near it
    at a fraction of the cost.
    """
    height, width = rgb.shape[:2]
    size = fit_within(width, height, side)
    if size == (width, height):
        return rgb
    # Both sides are at least twice a whole number of pixels here, so that halving ends.
    while min(rgb.shape[1] // size[0], rgb.shape[0] // size[1]) >= 2:
        rgb = halve(rgb)
    # A side of a strip may be left that is far too long beside one that is right already.
    strip = max(rgb.shape[1] / size[0], rgb.shape[0] / size[1]) > 2
    method = cv2.INTER_AREA if strip else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size, interpolation=method), dtype=np.uint8)


def halve(rgb: Pixels) -> Pixels:
    """Halve both sides by the 2×2 average; a picture with a side of 1 px stays as it is."""
    height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
    if min(height, width) < 1:
        return rgb
    even = rgb[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
