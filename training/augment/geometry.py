"""Where each pixel comes from: 3×3 matrices, and coordinates that stay within the picture.

Matrices work in pixels, with the centre of the picture at (0, 0), x to the right and y down, so
that a rotation is one in pictures of any shape. They are inverse: from a place in the result to the
place in the picture that it shows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.augment.draws import Draws

# Off by less, in pixels over the whole picture, a transformation moves pixels onto pixels.
_EXACT = 1e-3


def geometry_matrices(draws: Draws) -> Tensor:
    """Compose mirroring, turns, shifts, scaling and stretching, in the order of the paper.

    Returns
    -------
    Tensor of shape (n, 3, 3)
    """
    # Numbers of quarter turns become sines and cosines without any rounding.
    quarter_cos = (draws.quarter_turns - 2).abs() - 1
    quarter_sin = 1 - (draws.quarter_turns - 1).abs()
    shrink = torch.exp2(-draws.log2_scale)
    narrow, widen = torch.exp2(-draws.log2_stretch), torch.exp2(draws.log2_stretch)
    # What is done first to the picture is the last that happens on the way back to it.
    steps = (
        _scaling(1 - 2 * draws.mirror, torch.ones_like(draws.mirror)),
        _rotation(quarter_cos, quarter_sin),
        _translation(-draws.shift_x, -draws.shift_y),
        _scaling(shrink, shrink),
        _rotation(draws.turn_before.cos(), draws.turn_before.sin()),
        _scaling(narrow, widen),
        _rotation(draws.turn_after.cos(), draws.turn_after.sin()),
        _translation(-draws.drift_x, -draws.drift_y),
    )
    composed = steps[0]
    for step in steps[1:]:
        composed = product(composed, step)
    return composed


def product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices (n, k, k) in full precision, which `@` does not where TF32 is allowed."""
    return (a[..., None] * b[:, None]).sum(2)


def moves_pixels(geometry: Tensor, size: tuple[int, int]) -> Tensor:
    """Tell which transformations only move whole pixels: mirroring, quarter turns, whole shifts.

    Returns
    -------
    Tensor of shape (n,), bool
    """
    linear, offset = _in_indices(geometry, size)
    whole = linear.round()
    straight = (linear - whole).abs().amax((1, 2)) * max(size) < _EXACT
    aligned = (offset - offset.round()).abs().amax(1) < _EXACT
    determinant = whole[:, 0, 0] * whole[:, 1, 1] - whole[:, 0, 1] * whole[:, 1, 0]
    one_to_one = (whole.abs().sum((1, 2)) == 2) & (determinant.abs() == 1)
    return straight & aligned & one_to_one


def origins(geometry: Tensor, columns: Tensor, rows: Tensor, size: tuple[int, int]) -> Tensor:
    """Give where results at `columns` × `rows` come from, reflected into the picture.

    Coordinates are folded, instead of the picture being padded: a rotation may reach far outside,
    and how far would have to be read back from the device, or padded for at its worst. Folding
    costs no memory, and there is no distance at which it ends. Like reflecting padding, it turns at
    the centres of the outermost pixels.

    Parameters
    ----------
    geometry : Tensor of shape (n, 3, 3)
    columns, rows : Tensor of shape (w,) and (h,)
        In pixels of the result, 0 at the centre of the first.

    Returns
    -------
    Tensor of shape (n, h, w, 2)
        (x, y), with 0 at the centre of the first pixel of a side, and 1 at that of its last.
    """
    linear, offset = _in_indices(geometry, size)
    # In this unit both sides fold alike. What is large is worked on in place.
    x_last, y_last = size[1] - 1, size[0] - 1
    unit = torch.stack([linear[:, 0] / x_last, linear[:, 1] / y_last], 2)
    start = torch.stack([offset[:, 0] / x_last, offset[:, 1] / y_last], 1)
    along = columns[:, None] * unit[:, 0, None] + start[:, None]
    across = rows[:, None] * unit[:, 1, None]
    places = along[:, None] + across[:, :, None]
    # Triangle wave: 1 - |t mod 2 - 1|
    return places.remainder_(2).sub_(1).abs_().neg_().add_(1)


def _in_indices(geometry: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Move the origin from the centre of the picture to that of its first pixel."""
    height, width = size
    linear, moved = geometry[:, :2, :2], geometry[:, :2, 2]
    x, y = (width - 1) / 2, (height - 1) / 2
    x_offset = moved[:, 0] + x - linear[:, 0, 0] * x - linear[:, 0, 1] * y
    y_offset = moved[:, 1] + y - linear[:, 1, 0] * x - linear[:, 1, 1] * y
    return linear, torch.stack([x_offset, y_offset], 1)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix(x, zero, zero, zero, y, zero, zero, zero, one)


def _rotation(cos: Tensor, sin: Tensor) -> Tensor:
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return _matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)


def _translation(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix(one, zero, x, zero, one, y, zero, zero, one)


def _matrix(*elements: Tensor) -> Tensor:
    return torch.stack(elements, -1).view(-1, 3, 3)
