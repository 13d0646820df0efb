"""Colours as points of a space that is turned, stretched and moved: 4×4 matrices, homogeneous."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.augment.draws import Draws
from training.augment.geometry import product


def colour_matrices(draws: Draws) -> Tensor:
    """Compose brightness, contrast, luma flip, hue and saturation, in the order of the paper.

    Luma is what the paper has it to be: the mean of the three channels.

    Returns
    -------
    Tensor of shape (n, 4, 4)
    """
    zero = torch.zeros_like(draws.hue)
    # What turns, mirrors and stretches about the axis of greys is the same for all channels: its
    # rows are one another, rotated. So each is a matrix of three numbers.
    added = _affine(zero + 1, zero, zero, draws.brightness)
    contrast = _affine(torch.exp2(draws.log2_contrast), zero, zero, zero)
    mirrored = -2 / 3 * draws.luma_flip
    flip = _affine(1 + mirrored, mirrored, mirrored, zero)
    # Rodrigues' formula, with the axis (1, 1, 1) / √3
    cos, sin = draws.hue.cos(), draws.hue.sin() / math.sqrt(3)
    third = (1 - cos) / 3
    hue = _affine(cos + third, third - sin, third + sin, zero)
    saturation = torch.exp2(draws.log2_saturation)
    grey = (1 - saturation) / 3
    saturate = _affine(saturation + grey, grey, grey, zero)
    composed = added
    for step in (contrast, flip, hue, saturate):
        composed = product(step, composed)
    return composed


def recolour(images: Tensor, colour: Tensor) -> Tensor:
    """Map the colour of every pixel.

    Written as sums of channels, and not as a product of matrices, which TF32 would round.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W)
    colour : Tensor of shape (N, 4, 4), of the same type

    Returns
    -------
    Tensor of shape (N, 3, H, W)
    """
    weights = colour[:, :3, :, None, None]
    recoloured = weights[:, :, 3]
    for channel in range(3):
        recoloured = torch.addcmul(
            recoloured, weights[:, :, channel], images[:, channel : channel + 1]
        )
    return recoloured


def _affine(same: Tensor, following: Tensor, preceding: Tensor, added: Tensor) -> Tensor:
    """Give matrices in which a channel takes of itself, the next, the last before, and of 1."""
    zero, one = torch.zeros_like(same), torch.ones_like(same)
    rows = (
        *(same, following, preceding, added),
        *(preceding, same, following, added),
        *(following, preceding, same, added),
        *(zero, zero, zero, one),
    )
    return torch.stack(rows, -1).view(-1, 4, 4)
