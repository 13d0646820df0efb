"""Where the subject is: the border's colour, and the box of what differs from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# Levels (of 255) by which a background pixel may differ from the border's colour: paper, soft
# shadows and JPEG noise stay below, subjects rarely do.
_TOLERANCE: Final = 24
_RING_SHARE: Final = 0.03
_MIN_PART_SHARE: Final = 0.05
_TOUCH_SHARE: Final = 0.04


@dataclass(frozen=True, slots=True)
class Border:
    """The frame of a picture.

    Attributes
    ----------
    colour : tuple of int
        Median red, green, blue of the outermost ring, 0 to 255.
    uniformity : float
        Share of the ring within 24 levels of that colour, 0 to 1.
    """

    colour: tuple[int, int, int]
    uniformity: float


@dataclass(frozen=True, slots=True)
class Subject:
    """What stands out from the border's colour.

    Attributes
    ----------
    mask : ndarray of shape (H, W), bool
    box : tuple of float
        Left, top, right, bottom as shares of width and height, 0 to 1; the whole picture where
        nothing stands out.
    edges : int
        Number of edges of the picture that the subject touches, 0 to 4.
    """

    mask: Mask
    box: tuple[float, float, float, float]
    edges: int

    @property
    def found(self) -> bool:
        """Whether anything stands out."""
        return bool(self.mask.any())

    @property
    def fill(self) -> float:
        """Share of the picture's area that the box covers, 0 to 1."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    @property
    def centre_offset(self) -> float:
        """How far the box's middle is off the picture's, 0 (centred) to 1 (at the edge)."""
        left, top, right, bottom = self.box
        return max(abs(left + right - 1.0), abs(top + bottom - 1.0))


def measure_border(small: Pixels) -> Border:
    """Take the colour and the uniformity of the outermost ring of a picture."""
    ring = _ring(small)
    middle = len(ring) // 2
    red, green, blue = (int(value) for value in np.partition(ring, middle, axis=0)[middle])
    near = near_colour(ring[None], (red, green, blue), _TOLERANCE)
    return Border((red, green, blue), float(near.mean()))


def _ring(small: Pixels) -> Pixels:
    """Pixels of the outer 3% of a picture, at least one deep, as (N, 3)."""
    height, width = small.shape[:2]
    deep = max(1, round(_RING_SHARE * min(height, width)))
    parts = (small[:deep], small[-deep:], small[deep:-deep, :deep], small[deep:-deep, -deep:])
    return np.concatenate([part.reshape(-1, 3) for part in parts])


def near_colour(rgb: Pixels, colour: Sequence[float] | NDArray[np.float64], tolerance: int) -> Mask:
    """Mask of the pixels of which no channel differs from `colour` by more than `tolerance`.

    Parameters
    ----------
    rgb : ndarray of shape (H, W, 3), uint8
    colour : sequence of three numbers, 0 to 255
    tolerance : int
        In levels of 255.
    """
    low = tuple(float(channel) - tolerance for channel in colour)
    high = tuple(float(channel) + tolerance for channel in colour)
    return np.asarray(cv2.inRange(rgb, low, high) != 0, dtype=np.bool_)


def find_subject(small: Pixels, border: Border) -> Subject:
    """Find what differs from the border's colour.

    Only meaningful on a plain background: with a busy one nearly everything differs.

    Parameters
    ----------
    small : ndarray of shape (H, W, 3), uint8
    border : Border
        Of the same picture.
    """
    height, width = small.shape[:2]
    binary = (~near_colour(small, border.colour, _TOLERANCE)).view(np.uint8)
    if min(height, width) >= 16:
        # An opening drops specks, and the hair-wide ringing of JPEG around edges.
        binary = np.asarray(
            cv2.morphologyEx(binary, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), dtype=np.uint8
        )
    mask = _large_parts(binary)
    if not mask.any():
        return Subject(mask, (0.0, 0.0, 1.0, 1.0), 0)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    box = (
        float(columns[0]) / width,
        float(rows[0]) / height,
        float(columns[-1] + 1) / width,
        float(rows[-1] + 1) / height,
    )
    return Subject(mask, box, _edges_touched(mask))


def _large_parts(binary: NDArray[np.uint8]) -> Mask:
    """Drop connected parts that are small beside the largest: dust, watermarks, price tags."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= max(4.0, _MIN_PART_SHARE * float(areas.max()))
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _edges_touched(mask: Mask) -> int:
    sides = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return sum(bool(side.mean() > _TOUCH_SHARE) for side in sides)
