"""A face that OpenCV's cascade finds, drawn."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def draw_face(size: int = 300) -> Pixels:
    """A frontal face in the middle of a square of twice `size` px."""
    picture = np.full((2 * size, 2 * size, 3), 235, np.uint8)

    def oval(x: float, y: float, wide: float, tall: float, colour: tuple[int, int, int]) -> None:
        centre = (size + int(x * size), size + int(y * size))
        axes = (int(wide * size), int(tall * size))
        cv2.ellipse(picture, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    def arc(x: float, y: float, wide: float, tall: float) -> None:
        centre = (size + int(x * size), size + int(y * size))
        axes = (int(wide * size), int(tall * size))
        cv2.ellipse(picture, centre, axes, 0, 180, 360, (60, 40, 30), -1, cv2.LINE_AA)

    oval(0, 0, 0.38, 0.5, (205, 170, 145))
    arc(0, -0.34, 0.40, 0.26)
    for side in (-1, 1):
        oval(side * 0.16, -0.08, 0.10, 0.05, (120, 85, 70))
        oval(side * 0.16, -0.08, 0.07, 0.03, (240, 240, 240))
        oval(side * 0.16, -0.08, 0.03, 0.03, (30, 20, 20))
        arc(side * 0.16, -0.17, 0.11, 0.025)
    oval(0, 0.1, 0.05, 0.1, (225, 190, 165))
    oval(0, 0.19, 0.06, 0.02, (150, 110, 95))
    oval(0, 0.30, 0.13, 0.035, (140, 60, 60))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 2), dtype=np.uint8)
