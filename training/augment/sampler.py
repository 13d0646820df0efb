"""Bilinear sampling that can be differentiated any number of times with respect to the images.

Sampling is linear in the images, so its gradient is its adjoint, and the gradient of the adjoint is
sampling again. PyTorch's own `grid_sample` has no second derivative before 2.12.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

# Numbers of PyTorch's operator for bilinear interpolation, and for zeros outside.
_BILINEAR = 0
_ZEROS = 0


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Sample images bilinearly, with zeros outside.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W), floating point
    grid : Tensor of shape (N, h, w, 2), of the same type
        Where to sample, (x, y), with -1 and 1 at the outer edges of the picture, as
        `torch.nn.functional.grid_sample` has it with `align_corners=False`. Gets no gradient.

    Returns
    -------
    Tensor of shape (N, C, h, w)

    Raises
    ------
    ValueError
        If `grid` requires a gradient: none would come.
    """
    if grid.requires_grad:
        raise ValueError("`grid` must not require a gradient, it gets none; detach it")
    sampled: Tensor = _Sample.apply(images, grid)  # type: ignore[no-untyped-call]
    return sampled


class _Sample(Function):
    """Sampling."""

    @staticmethod
    def forward(images: Tensor, grid: Tensor) -> Tensor:
        return F.grid_sample(
            images, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        images, grid = inputs
        ctx.save_for_backward(grid)
        ctx.shape = images.shape

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        spread: Tensor = _Spread.apply(gradients[0], grid, ctx.shape)  # type: ignore[no-untyped-call]
        return spread, None


class _Spread(Function):
    """Adjoint of sampling: adds every value to the four pixels that it would be sampled from."""

    @staticmethod
    def forward(values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        # The operator looks at the images for the gradient of the grid alone, which is not asked
        # for: one number, seen as a whole batch, spares the memory of keeping them.
        images = values.new_zeros(()).expand(shape)
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            values, images, grid, _BILINEAR, _ZEROS, False, (True, False)
        )[0]
        return spread

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, torch.Size], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return sample(gradients[0], grid), None, None
