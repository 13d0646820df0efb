"""Measures of one picture: numbers that rules hold against thresholds.

Everything is a pure function of arrays. Unless said otherwise the picture is `small`, the upright
image with a longer side of at most 192 px, so that measures of differently sized files compare.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.subject import Subject, near_colour

Pixels = NDArray[np.uint8]
Grey = NDArray[np.uint8]

MAX_COLOURS: Final = 257

_BLANK_TOLERANCE: Final = 8
_MIN_CONTRAST: Final = 4.0  # levels, standard deviation; below it there is nothing to judge
_COLOUR_BINS: Final = 12


def grey(rgb: Pixels) -> Grey:
    """Luma of a picture (ITU-R BT.601), 0 to 255."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def colours(rgb: Pixels) -> int:
    """Count unique colours of the full-size picture, up to 257 (more reads as 257)."""
    # A coarse grid of pixels settles it for nearly every photograph at a fraction of the cost.
    if _count_colours(rgb[::13, ::13]) == MAX_COLOURS:
        return MAX_COLOURS
    return _count_colours(rgb)


def _count_colours(rgb: Pixels) -> int:
    found = Image.fromarray(np.ascontiguousarray(rgb)).getcolors(MAX_COLOURS - 1)
    return MAX_COLOURS if found is None else len(found)


def chroma(small: Pixels) -> float:
    """Mean of (largest - smallest channel) / 255: 0 is grey, 1 is pure colour everywhere."""
    channels = cv2.split(small)
    spread = cv2.subtract(
        cv2.max(cv2.max(*channels[:2]), channels[2]), cv2.min(cv2.min(*channels[:2]), channels[2])
    )
    return float(cv2.mean(spread)[0]) / 255.0


def blankness(small: Pixels) -> float:
    """Share of pixels within 8 levels of the most common colour, 0 to 1."""
    # Every fourth pixel each way tells the commonest colour nearly as well.
    pixels = small[::4, ::4].reshape(-1, 3)
    codes = (pixels >> 3) @ np.array([1024, 32, 1], np.uint16)
    commonest = int(np.bincount(codes, minlength=1).argmax())
    # The middle of the bin's own pixels, so that a colour on a bin's edge is not split.
    centre = pixels[codes == commonest].mean(axis=0)
    return float(near_colour(small, centre, _BLANK_TOLERANCE).mean())


def entropy(luma: Grey) -> float:
    """Shannon entropy of the luma histogram in bits, 0 to 8."""
    counts = _histogram(luma)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def sharpness(luma: Grey) -> float | None:
    """Steepness of the strongest edges: about 1 for a step, lower for wider edges.

    The variance of the Laplacian calls every flat picture blurred. Here the Laplacian of the
    strongest edges is divided by their gradient: for an edge of amplitude A blurred by sigma the
    two fall as A/sigma² and A/sigma, so the quotient falls as 1/sigma, whatever the contrast
    and however much of the picture is empty.

    Parameters
    ----------
    luma : ndarray of shape (H, W), uint8
        At the size at which it will be trained on; compare only between pictures of one size.

    Returns
    -------
    float or None
        None where the picture is too plain to judge.
    """
    if min(luma.shape) < 3:
        return None
    curvature = cv2.Laplacian(luma, cv2.CV_16S, ksize=1)
    laplacian = np.asarray(cv2.convertScaleAbs(curvature), dtype=np.uint8)
    if float(cv2.meanStdDev(luma)[1][0, 0]) < _MIN_CONTRAST:
        return None
    return _top_mean(laplacian) / max(_top_mean(_gradient(luma)), 1.0)


def _gradient(luma: Grey) -> Grey:
    """Larger of the two Sobel derivatives, in levels a pixel."""
    horizontal, vertical = (
        cv2.convertScaleAbs(cv2.Sobel(luma, cv2.CV_16S, x, y), alpha=0.25)
        for x, y in ((1, 0), (0, 1))
    )
    return np.asarray(cv2.max(horizontal, vertical), dtype=np.uint8)


def _top_mean(values: Grey, share: float = 0.005) -> float:
    """Mean of the largest `share` of values, from the histogram."""
    counts = _histogram(values)[::-1]
    wanted = max(16.0, share * values.size)
    before = np.concatenate(([0.0], np.cumsum(counts)[:-1]))
    taken = np.clip(wanted - before, 0.0, counts)
    return float((taken * np.arange(255, -1, -1)).sum() / max(taken.sum(), 1.0))


def _histogram(values: Grey) -> NDArray[np.float64]:
    return cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().astype(np.float64)


def background_complexity(luma: Grey, subject: Subject | None) -> float:
    """How busy the background is: share of its pixels that lie on an edge, 0 to 1.

    The background is the outer eighth of the picture, less what the subject covers.

    Parameters
    ----------
    luma : ndarray of shape (H, W), uint8
    subject : Subject or None
        Of the same picture at any size; None where the border is not nearly of one colour, since
        the mask would hold the clutter itself.
    """
    height, width = luma.shape
    if min(height, width) < 8:
        return 0.0
    background = np.zeros((height, width), dtype=np.bool_)
    deep_y, deep_x = max(1, height // 8), max(1, width // 8)
    background[:deep_y], background[-deep_y:] = True, True
    background[:, :deep_x], background[:, -deep_x:] = True, True
    if subject is not None:
        # Grown, so that the subject's own outline is not counted as background.
        mask = cv2.resize(
            subject.mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
        )
        grown = cv2.dilate(mask, np.ones((7, 7), np.uint8))
        background &= grown == 0
    if not background.any():
        return 0.0
    return float((_gradient(luma)[background] > 8).mean())


def pattern(half: Pixels, subject: Subject | None) -> float:
    """Likelihood that the picture is a close-up of fabric or texture, 0 to 1.

    A picture of a thing shows other colours in its middle than along its frame; a close-up shows
    the same ones everywhere. The score is the intersection of the two colour histograms (CIELAB,
    12 bins a channel; Swain and Ballard 1991, doi:10.1007/BF00130487). A thing that stands free
    on a plain background is none, however small it is.

    Parameters
    ----------
    half : ndarray of shape (H, W, 3), uint8
        `small`, halved, so that the threads of a weave melt into its colour.
    subject : Subject or None
        Of the same picture; None where the border is not nearly of one colour.
    """
    height, width = half.shape[:2]
    stands_free = subject is not None and subject.found and subject.edges == 0
    if min(height, width) < 16 or stands_free:
        return 0.0
    if float(cv2.meanStdDev(half)[1].max()) < 1.0:
        return 0.0
    lab = cv2.cvtColor(half, cv2.COLOR_RGB2LAB)
    middle = lab[height // 4 : -(height // 4), width // 4 : -(width // 4)]
    deep = max(2, min(height, width) // 10)
    frame = np.full((height, width), 255, np.uint8)
    frame[deep:-deep, deep:-deep] = 0
    return float(np.minimum(_colour_shares(middle, None), _colour_shares(lab, frame)).sum())


def _colour_shares(lab: NDArray[np.generic], mask: Grey | None) -> NDArray[np.float32]:
    bins, spans = [_COLOUR_BINS] * 3, [0.0, 256.0] * 3
    counts = cv2.calcHist([np.ascontiguousarray(lab)], [0, 1, 2], mask, bins, spans)
    return np.asarray(counts / counts.sum(), dtype=np.float32)
