"""What is drawn for each picture, and how often."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from training.config import AugmentConfig


class Draws(NamedTuple):
    """How each of `n` pictures is transformed. All are of shape (n,); 0 leaves it as it is.

    Attributes
    ----------
    mirror
        0 or 1: left to right.
    quarter_turns
        0 … 3, counter-clockwise.
    shift_x, shift_y
        To the right and down, in whole pixels.
    log2_scale
        Enlarged, in octaves.
    turn_before, turn_after
        Counter-clockwise, before and after stretching, in radians.
    log2_stretch
        Widened, and flattened as much, in octaves.
    drift_x, drift_y
        To the right and down, in pixels and fractions.
    brightness
        Added to all channels.
    log2_contrast
        Channels are multiplied by this, in octaves.
    luma_flip
        0 or 1: light to dark, with hues kept.
    hue
        Turn about the axis of greys, in radians.
    log2_saturation
        Distances from the axis of greys are multiplied by this, in octaves.
    """

    mirror: Tensor
    quarter_turns: Tensor
    shift_x: Tensor
    shift_y: Tensor
    log2_scale: Tensor
    turn_before: Tensor
    log2_stretch: Tensor
    turn_after: Tensor
    drift_x: Tensor
    drift_y: Tensor
    brightness: Tensor
    log2_contrast: Tensor
    luma_flip: Tensor
    hue: Tensor
    log2_saturation: Tensor


def draw(
    n: int,
    p: Tensor | float,
    *,
    config: AugmentConfig,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device,
) -> Draws:
    """Draw for `n` pictures, each transformation with chance `p`, independently.

    As many random numbers are taken whatever `p` and the strengths are, so that they shift no
    later ones. Values and luck are drawn and scaled where the generator lives, and meet `p` on
    `device` in one comparison: nothing is read back from there.
    """
    luck = torch.rand(13, n, generator=generator, device=generator.device)
    even = torch.rand(8, n, generator=generator, device=generator.device)
    normal = torch.randn(7, n, generator=generator, device=generator.device)
    both = torch.stack([_score(1 - luck, config), _values(even, normal, config, size)])
    score, value = both.to(device, non_blocking=True)
    return Draws(*torch.where(score > 1 - p, value, 0.0).unbind())


def _score(luck: Tensor, config: AugmentConfig) -> Tensor:
    """Give scores of shape (15, n) that exceed 1 − p with the chance of each column of `Draws`.

    `luck` is even over (0, 1], and exceeds 1 − p with chance p.
    """
    # A share s of the chance: 1 − l < s·p. None at all is a score that exceeds nothing.
    shares = (config.xflip, config.rotate90, config.luma_flip)
    mirror, quarter, flip = (
        1 - (1 - luck[i]) / share if share else torch.full_like(luck[i], -1.0)
        for i, share in enumerate(shares)
    )
    shift, scale, stretch, drift = luck[3:7]
    # Two rotations, each with chance 1 − √(1 − p), so that one at least has chance p.
    before, after = luck[7:9].square()
    brightness, contrast, hue, saturation = luck[9:13]
    moves = (mirror, quarter, shift, shift, scale, before, stretch, after, drift, drift)
    return torch.stack([*moves, brightness, contrast, flip, hue, saturation])


def _values(even: Tensor, normal: Tensor, config: AugmentConfig, size: tuple[int, int]) -> Tensor:
    """Give the columns of `Draws`, of shape (15, n), as they are where luck has it."""
    height, width = size
    both_ways = 2 * even - 1
    shift = config.shift / 8
    drift = config.subpixel_shift / 8
    turn = math.pi * config.rotate
    return torch.stack(
        [
            (even[0] * 2).floor(),
            (even[1] * 4).floor(),
            (both_ways[2] * shift * width).round(),
            (both_ways[3] * shift * height).round(),
            normal[0] * 0.2 * config.scale,
            both_ways[4] * turn,
            normal[1] * 0.2 * config.anisotropy,
            both_ways[5] * turn,
            normal[2] * drift * width,
            normal[3] * drift * height,
            normal[4] * 0.2 * config.brightness,
            normal[5] * 0.5 * config.contrast,
            (even[6] * 2).floor(),
            both_ways[7] * math.pi * config.hue,
            normal[6] * config.saturation,
        ]
    )
