"""The low-pass filter [1, 3, 3, 1] around doubling and halving, as sums of slices.

Sums are what a compiler can fuse with their neighbours; a depthwise convolution is a kernel of its
own, and often a slow one. Outside of a picture is zero. The memory format of the input is kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SUM = 8  # of 1 + 3 + 3 + 1


def blur(x: Tensor, pad: int, gain: float = 1.0) -> Tensor:
    """Low-pass filter.

    Parameters
    ----------
    x : Tensor of shape (N, C, h, w)
    pad
        Zeros laid around on each side, px.
    gain
        Factor on the result.

    Returns
    -------
    Tensor of shape (N, C, h + 2 * pad - 3, w + 2 * pad - 3)
    """
    # Scaled first: 16-bit sums of unscaled taps could overflow.
    padded = F.pad(x * (gain / _SUM**2), [pad] * 4)
    return _filtered(_filtered(padded, 2, 1), 3, 1)


def downsample(x: Tensor) -> Tensor:
    """Low-pass filter and halve; (N, C, h, w) to (N, C, h / 2, w / 2), both sides even."""
    padded = F.pad(x * (1 / _SUM**2), [1] * 4)
    return _filtered(_filtered(padded, 2, 2), 3, 2)


def upsample(x: Tensor) -> Tensor:
    """Double and low-pass filter; (N, C, h, w) to (N, C, 2h, 2w)."""
    padded = F.pad(x * (1 / 16), [1] * 4)  # a quarter per side: half of the taps meet zeros
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        rows_first = padded.permute(0, 2, 3, 1)
        return _doubled(_doubled(rows_first, 1), 2).permute(0, 3, 1, 2)
    return _doubled(_doubled(padded, 2), 3)


def fold_up(weight: Tensor) -> Tensor:
    """Fold doubling and filter into the weights of a 3 × 3 convolution.

    Parameters
    ----------
    weight : Tensor of shape (C_out, C_in, 3, 3)
        Of the transposed convolution with stride 2 that the filter would follow.

    Returns
    -------
    Tensor of shape (4 * C_out, C_in, 3, 3)
        Of a plain convolution whose result a pixel shuffle spreads.
    """
    whole = blur(weight, 3, gain=4.0)  # 6 × 6: three taps for each of two phases, per side
    c_out, c_in = weight.shape[:2]
    taps = whole.reshape(c_out, c_in, 3, 2, 3, 2).flip(2, 4)
    return taps.permute(0, 3, 5, 1, 2, 4).flatten(0, 2)


def fold_down(weight: Tensor) -> Tensor:
    """Fold the filter into the weights of a 3 × 3 convolution with stride 2; gives 6 × 6."""
    return blur(weight, 3)


def _filtered(x: Tensor, dim: int, step: int) -> Tensor:
    """Sum 1, 3, 3 and 1 times four neighbours along a dimension, at every `step`-th place."""
    count = (x.shape[dim] - 4) // step + 1
    a, b, c, d = (_every(x, dim, start, count, step) for start in range(4))
    return torch.add(a + d, b + c, alpha=3)


def _every(x: Tensor, dim: int, start: int, count: int, step: int) -> Tensor:
    return x[(slice(None),) * dim + (slice(start, start + step * (count - 1) + 1, step),)]


def _doubled(x: Tensor, dim: int) -> Tensor:
    """Drop one place at either end of a dimension, then put two filtered places for each left."""
    count = x.shape[dim] - 2
    before, here, after = (x.narrow(dim, start, count) for start in range(3))
    phases = (torch.add(before, here, alpha=3), torch.add(after, here, alpha=3))
    return torch.stack(phases, dim + 1).flatten(dim, dim + 1)
