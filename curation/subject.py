"""Where the subject is: the border's colour, and the box of what differs from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]
Plane = NDArray[np.float32]

# Levels (of 255) by which a plain background may differ from its own smooth colour: paper, soft
# shadows and JPEG noise stay below, subjects rarely do. A textured one may differ by six times
# the median of what its border does, up to the limit.
_TOLERANCE: Final = 24
_NOISE_FACTOR: Final = 6.0
_MAX_TOLERANCE: Final = 70.0
_PLAIN: Final = 0.6
_CLEAN: Final = 0.9
_RING_SHARE: Final = 0.03
_RING_PIXELS: Final = 300
_OUTLIER: Final = 60.0
_FITS: Final = 2
_MIN_PART_SHARE: Final = 0.05
_TOUCH_SHARE: Final = 0.15


@dataclass(frozen=True, slots=True)
class Border:
    """The outermost ring of a picture, and the background that it lets one expect.

    Attributes
    ----------
    colour : tuple of int
        Median red, green, blue of the ring, 0 to 255.
    uniformity : float
        Share of the ring within 24 levels of its smooth colour, 0 to 1.
    plane : ndarray of shape (3, 3), float32
        That smooth colour: rows are the constant, the slope along x and the slope along y (both
        from -0.5 to 0.5 across the picture), columns are red, green, blue. Photographs are lit
        from one side; a single colour would take the darker side for a subject.
    noise : float
        Median distance of the ring from that plane, in levels.
    """

    colour: tuple[int, int, int]
    uniformity: float
    plane: Plane
    noise: float

    @property
    def plain(self) -> bool:
        """Whether the background has a colour of its own, so that a subject stands out from it."""
        return self.uniformity >= _PLAIN

    @property
    def clean(self) -> bool:
        """Whether nearly all of the ring is background, so that the subject hardly reaches it."""
        return self.uniformity >= _CLEAN


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
    """Measure the ring of a picture and fit a plane of colour through it, robustly.

    Parameters
    ----------
    small : ndarray of shape (H, W, 3), uint8
    """
    rows, columns, basis = _ring(*small.shape[:2])
    ring = small[rows, columns]
    middle = len(ring) // 2
    median = np.partition(ring, middle, axis=0)[middle]
    values = ring.astype(np.float32)
    distance = np.abs(values - median).max(axis=1)
    plane = np.zeros((3, 3), np.float32)
    plane[0] = median
    inliers = distance < _OUTLIER
    for _ in range(_FITS):
        # Least squares on what lies near; subjects that reach the ring drop out.
        kept = basis[inliers]
        if len(kept) < max(24, len(ring) // 4):
            break
        normal = kept.T @ kept + np.eye(3, dtype=np.float32) * 1e-3
        plane = np.linalg.solve(normal, kept.T @ values[inliers]).astype(np.float32)
        distance = np.abs(values - basis @ plane).max(axis=1)
        inliers = distance < max(_TOLERANCE, 2.0 * float(np.partition(distance, middle)[middle]))
    red, green, blue = (int(value) for value in median)
    uniformity = float((distance <= _TOLERANCE).mean())
    noise = float(np.partition(distance, middle)[middle])
    return Border((red, green, blue), uniformity, plane, noise)


@lru_cache(maxsize=256)
def _ring(height: int, width: int) -> tuple[Index, Index, Plane]:
    """Rows, columns and plane coordinates of some 300 pixels spread over the outer 3%."""
    deep = max(1, round(_RING_SHARE * min(height, width)))
    inside = np.zeros((height, width), dtype=np.bool_)
    inside[deep:-deep, deep:-deep] = True
    rows, columns = np.nonzero(~inside)
    step = max(1, len(rows) // _RING_PIXELS)
    rows, columns = rows[::step], columns[::step]
    across, down = (columns + 0.5) / width - 0.5, (rows + 0.5) / height - 0.5
    basis = np.stack([np.ones(len(rows)), across, down], axis=1).astype(np.float32)
    return rows, columns, basis


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
    """Find what differs from the smooth colour of the border.

    Only meaningful on a plain background: with a busy one nearly everything differs.

    Parameters
    ----------
    small : ndarray of shape (H, W, 3), uint8
    border : Border
        Of the same picture.
    """
    height, width = small.shape[:2]
    tolerance = min(max(_TOLERANCE, _NOISE_FACTOR * border.noise), _MAX_TOLERANCE)
    largest = _distance(small, border.plane)
    binary = np.asarray(cv2.threshold(largest, tolerance, 1, cv2.THRESH_BINARY)[1], dtype=np.uint8)
    if min(height, width) >= 16:
        # An opening drops specks, and the hair-wide ringing of JPEG around edges. The kernel is
        # reflected for the second half, or everything would move by a pixel.
        kernel = np.ones((2, 2), np.uint8)
        eroded = cv2.erode(binary, kernel, anchor=(0, 0))
        binary = np.asarray(cv2.dilate(eroded, kernel, anchor=(1, 1)), dtype=np.uint8)
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


def _distance(small: Pixels, plane: Plane) -> NDArray[np.uint8]:
    """Largest difference of any channel from a plane of colour, of shape (H, W)."""
    height, width = small.shape[:2]
    across = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    down = (np.arange(height, dtype=np.float32) + 0.5) / height - 0.5
    # Rounded before they are added: a level is lost at most, and whole numbers are faster. One
    # channel after the other, so that what is added lies side by side.
    by_row = np.rint(plane[0] + down[:, None] * plane[2]).astype(np.int16)
    by_column = np.rint(across[:, None] * plane[1]).astype(np.int16)
    largest = np.zeros((height, width), np.uint8)
    for number, channel in enumerate(cv2.split(small)):
        colour = by_row[:, number, None] + by_column[:, number]
        expected = np.clip(colour, 0, 255, out=colour).astype(np.uint8)
        largest = np.asarray(cv2.max(largest, cv2.absdiff(channel, expected)), dtype=np.uint8)
    return largest


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
