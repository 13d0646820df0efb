"""How much pictures differ among each other: what a collapsed generator has lost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Spread:
    """How much pictures differ among each other, as `spread` measures it.

    Attributes
    ----------
    generated : float
        Of the sample grid: fixed latents.
    real : float
        Of as many real pictures, or more.
    """

    generated: float
    real: float

    @property
    def share(self) -> float:
        """Spread of the generated pictures over that of the real ones; 1 if these are all alike."""
        return self.generated / self.real if self.real > 0 else 1.0


def spread(pixels: NDArray[np.uint8]) -> float:
    """Measure how much pictures differ among each other.

    Parameters
    ----------
    pixels : ndarray of shape (N, H, W, 3), uint8
        At least two pictures.

    Returns
    -------
    float
        Root mean square difference of two of them, over all pairs and values, 0 to 255. Taken from
        the variance over pictures, of which it is √2 times the root.
    """
    if len(pixels) < 2:
        raise ValueError(f"`pixels` must hold at least 2 pictures, got {len(pixels)}")
    total = np.zeros(pixels.shape[1:], np.float64)
    squares = np.zeros_like(total)
    for picture in pixels:  # one at a time: as float64 a whole sheet is large
        values = picture.astype(np.float64)
        total += values
        squares += values**2
    n = len(pixels)
    variance = (squares - total**2 / n) / (n - 1)
    return math.sqrt(2 * max(float(variance.mean()), 0.0))
