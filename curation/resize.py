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
# to this scale (45.3 against 42.2 dB at 0.8, 41.9 against 42.3 dB at 0.7) and costs a fifth;
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

    A general area average costs more than a JPEG decode. Between two and four times the size, a
    bilinear step to exactly twice the size and then OpenCV's 2×2 average give nearly the same
    (mean difference below one level) at a third of the cost.
    """
    height, width = rgb.shape[:2]
    out_width, out_height = fit_within(width, height, side)
    if (out_width, out_height) == (width, height):
        return rgb
    size = (out_width, out_height)
    if 2.0 <= max(width, height) / side <= 4.0 and min(size) > 1:
        rgb = np.asarray(
            cv2.resize(rgb, (2 * out_width, 2 * out_height), interpolation=cv2.INTER_LINEAR),
            dtype=np.uint8,
        )
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
