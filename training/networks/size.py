"""Which sizes of picture can be trained on, and how wide the networks are at each resolution."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

from training.config import NetworkConfig
from training.errors import SetupError

Size = tuple[int, int]

SMALLEST_BASE: Final = 4
LARGEST_BASE: Final = 16
_CHANNEL_STEP: Final = 8  # GPUs multiply 16-bit matrices fast if their sides are multiples of this


@dataclass(frozen=True)
class Pyramid:
    """The resolutions of a network, each twice the one below.

    Parameters
    ----------
    base
        Lowest resolution (h0, w0), px.
    doublings
        How many more there are above it.
    """

    base: Size
    doublings: int

    @property
    def sizes(self) -> list[Size]:
        """Every resolution (h, w), from the base to the full size."""
        h, w = self.base
        return [(h << k, w << k) for k in range(self.doublings + 1)]


def pyramid(size: Size) -> Pyramid:
    """Halve a size as often as both sides stay whole and the longer one stays at least 4 px.

    Parameters
    ----------
    size
        Height and width of the pictures, px.

    Raises
    ------
    SetupError
        If the longer side is below 4 px, or the longer side of the base comes to more than 16 px;
        the message names the nearest usable sizes.
    """
    h, w = size
    if min(size) < 1 or max(size) < SMALLEST_BASE:
        raise SetupError(
            f"the longer side of a picture must be at least {SMALLEST_BASE} px and the shorter 1, "
            f"got {h}×{w}; use larger pictures"
        )
    doublings = 0
    while h % 2 == 0 and w % 2 == 0 and max(h, w) // 2 >= SMALLEST_BASE:
        h, w, doublings = h // 2, w // 2, doublings + 1
    if max(h, w) > LARGEST_BASE:
        near = " or ".join(f"{a}×{b}" for a, b in _usable_near(size)[:2])
        raise SetupError(
            f"the size of a picture must be base × 2^k with a base of at most {LARGEST_BASE} px on "
            f"its longer side, got {size[0]}×{size[1]} = {h}×{w} × 2^{doublings}; use {near}"
        )
    return Pyramid((h, w), doublings)


def _usable_near(size: Size) -> list[Size]:
    """Give the usable sizes around one that is not, nearest first."""
    step = 1
    while LARGEST_BASE * step < max(size):
        step *= 2
    h, w = (sorted({max(side // step, 1) * step, -(-side // step) * step}) for side in size)
    found = itertools.product(h, w)
    return sorted(found, key=lambda near: abs(near[0] - size[0]) + abs(near[1] - size[1]))


def channels(config: NetworkConfig, size: Size) -> int:
    """Give the channels of a layer at a resolution.

    `channel_base` / longer side, rounded to a multiple of 8, at least 8, at most `channel_max`.
    """
    assert config.channel_base is not None, "the configuration is not resolved"
    steps = int(config.channel_base / max(size) / _CHANNEL_STEP + 0.5)
    return min(max(steps, 1) * _CHANNEL_STEP, config.channel_max)


def name_of(size: Size) -> str:
    """Name a resolution as the modules of it are called, `8x6`."""
    return f"{size[0]}x{size[1]}"
