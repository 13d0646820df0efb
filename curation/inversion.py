"""Whether the set is trained on inverted: decided once for all of it, never image by image.

White backgrounds destabilize GAN training; trained on 255 - x they are black, the value that a
network's output starts from. What people look at is never inverted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow as pa

_WHITE_LUMA: Final = 225.0
_UNIFORM: Final = 0.6
_MOST: Final = 0.5


@dataclass(frozen=True, slots=True)
class InversionDecision:
    """The decision, with the figures that led to it.

    Attributes
    ----------
    inverted : bool
    mode : str
        What the recipe says: auto, always or never.
    items : int
        Items that were looked at.
    white_share : float
        Share of them with a uniform white border, 0 to 1.
    dark_share : float
        Share of them with a uniform dark border, 0 to 1.
    """

    inverted: bool
    mode: str
    items: int
    white_share: float
    dark_share: float


def decide(features: pa.Table, mode: Literal["auto", "always", "never"]) -> InversionDecision:
    """Decide for a set.

    Parameters
    ----------
    features : pyarrow.Table
        The columns `border_red`, `border_green`, `border_blue`, `border_uniformity` of the items
        that may be published.
    mode : str
        ``auto`` inverts where more than half of the items have a uniform border with a luma of
        at least 225.
    """
    weights = {"border_red": 0.299, "border_green": 0.587, "border_blue": 0.114}
    luma = np.zeros(features.num_rows)
    for column, weight in weights.items():
        luma += weight * features[column].to_numpy().astype(np.float64)
    uniform = features["border_uniformity"].to_numpy().astype(np.float64) >= _UNIFORM
    items = features.num_rows
    white = float((uniform & (luma >= _WHITE_LUMA)).mean()) if items else 0.0
    dark = float((uniform & (luma <= 255.0 - _WHITE_LUMA)).mean()) if items else 0.0
    inverted = mode == "always" or (mode == "auto" and white > _MOST)
    return InversionDecision(inverted, mode, items, round(white, 4), round(dark, 4))
