"""Enlarging and reducing by two with the low-pass filter of the sym6 wavelet.

The wavelet is orthogonal, so reducing undoes enlarging without a trace; and since reducing is the
adjoint of enlarging, what one delays the other brings forward. In between, pixel `i` of the picture
lies at `2·i + DELAY`.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

# Daubechies' least asymmetric wavelet with six vanishing moments (Ten Lectures on Wavelets, 1992,
# table 6.3); it is orthogonal, and sums to √2.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
TAPS = len(SYM6)
# Centre of mass of the filter. It is not symmetric quite, and this is not its middle, 5.5: there,
# mirrored pictures would come out shifted by 0.4 pixels.
DELAY = sum(tap * i for i, tap in enumerate(SYM6)) / sum(SYM6)
# The first place that `enlarged` gives.
START = 4
# Each side that is enlarged has to be larger than this.
PADDING = 3


def enlarged(images: Tensor) -> Tensor:
    """Enlarge by two: (N, C, H, W) → (N, C, 2·H + 2, 2·W + 2), reflected at the edges.

    Element `k` of a side is at the place `k + START`; `DELAY` places in is the first pixel, and
    the last one and its neighbours are within as well.
    """
    # Each place is a sum of every other tap: those of odd places, and those of even ones.
    padded = F.pad(images, (PADDING,) * 4, mode="reflect")
    n, channels = images.shape[:2]
    kernel = _phases(images.device, images.dtype).repeat(channels, 1)
    wide = F.conv2d(padded, kernel[:, None, None, :], groups=channels)
    wide = wide.view(n, channels, 2, *wide.shape[2:]).movedim(2, 4).flatten(3)
    high = F.conv2d(wide, kernel[:, None, :, None], groups=channels)
    return high.view(n, channels, 2, *high.shape[2:]).movedim(2, 3).flatten(2, 3)


def reduced(images: Tensor) -> Tensor:
    """Reduce by two: (N, C, 2·h + 10, 2·w + 10) → (N, C, h, w). Places start at 0."""
    channels = images.shape[1]
    kernel = _taps(images.device, images.dtype).repeat(channels, 1)
    low = F.conv2d(images, kernel[:, None, :, None], stride=(2, 1), groups=channels)
    return F.conv2d(low, kernel[:, None, None, :], stride=(1, 2), groups=channels)


@cache
def _taps(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Give the filter of reducing, of shape (1, 12); it sums to 1."""
    # Kept tensors that were made in inference mode could not be trained with later.
    with torch.inference_mode(False):
        return torch.tensor([SYM6], dtype=torch.float64).div(math.sqrt(2)).to(device, dtype)


@cache
def _phases(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Give the filters of even and of odd places, of shape (2, 6), in the order of `conv2d`."""
    with torch.inference_mode(False):
        taps = torch.tensor(SYM6, dtype=torch.float64).mul(math.sqrt(2))
        return torch.stack([taps[0::2].flip(0), taps[1::2].flip(0)]).to(device, dtype)
