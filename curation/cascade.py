"""Cutting items out of pictures by one of OpenCV's cascade detectors."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.errors import CurationError
from curation.recipe import Detector

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]


@lru_cache(maxsize=8)
def load_cascade(name: str) -> cv2.CascadeClassifier:
    """Load a cascade by the name of a file that OpenCV ships, or by path.

    Raises
    ------
    CurationError
        If there is no such file or it is not a cascade.
    """
    shipped = Path(cv2.__file__).parent / "data"
    for path in (Path(name), shipped / name, shipped / f"{name}.xml"):
        if path.is_file():
            cascade = cv2.CascadeClassifier(str(path))
            if cascade.empty():
                break
            return cascade
    known = ", ".join(sorted(path.stem for path in shipped.glob("*.xml")))
    raise CurationError(
        f"`recipe.detector.cascade` names no cascade file: {name!r}; give a path or one of {known}"
    )


def detect(rgb: Pixels, detector: Detector) -> list[Box]:
    """Find subjects; boxes as (x, y, width, height), margin included, largest first.

    Follows the recipe that anime and face sets use: equalized grey, `scaleFactor` 1.1,
    `minNeighbors` 5. The margin is larger above, so that the tops of heads stay in.
    """
    luma = cv2.equalizeHist(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    found = load_cascade(detector.cascade).detectMultiScale(
        luma,
        scaleFactor=detector.scale_factor,
        minNeighbors=detector.min_neighbors,
        minSize=(detector.min_size, detector.min_size),
    )
    boxes = [tuple(int(value) for value in box) for box in found]
    boxes.sort(key=lambda box: (-box[2] * box[3], box))
    return [
        _with_margin(box, detector, rgb.shape[1], rgb.shape[0])
        for box in boxes[: detector.max_items]
    ]


def _with_margin(box: tuple[int, ...], detector: Detector, width: int, height: int) -> Box:
    x, y, box_w, box_h = box
    above = 2 * detector.margin if detector.margin_top is None else detector.margin_top
    left, right = x - detector.margin * box_w, x + (1 + detector.margin) * box_w
    top, bottom = y - above * box_h, y + (1 + detector.margin) * box_h
    x0, y0 = max(0, round(left)), max(0, round(top))
    x1, y1 = min(width, round(right)), min(height, round(bottom))
    return x0, y0, x1 - x0, y1 - y0
