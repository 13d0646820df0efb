"""Apply 3×3 matrices to pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from training.augment import filters
from training.augment.geometry import moves_pixels, origins
from training.augment.sampler import sample


def warped(images: Tensor, geometry: Tensor) -> Tensor:
    """Transform pictures, reflecting them at their edges.

    Pictures whose pixels only move (untouched, mirrored, turned by quarters, shifted by whole
    pixels) keep them to the last bit. Both ways are taken for all, and one result is picked: what
    is in the batch is not read back from the device.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W), floating point, H and W at least 4
    geometry : Tensor of shape (N, 3, 3), of the same type

    Returns
    -------
    Tensor of shape (N, C, H, W)
    """
    size = (images.shape[2], images.shape[3])
    exact = moves_pixels(geometry, size)[:, None, None, None]
    return torch.where(exact, moved(images, geometry), resampled(images, geometry))


def moved(images: Tensor, geometry: Tensor) -> Tensor:
    """Transform by taking the nearest pixels, unchanged."""
    height, width = images.shape[2:]
    columns = torch.arange(width, device=images.device, dtype=images.dtype)
    rows = torch.arange(height, device=images.device, dtype=images.dtype)
    x, y = origins(geometry, columns, rows, (height, width)).unbind(3)
    pixel = (y * (height - 1)).round() * width + (x * (width - 1)).round()
    index = pixel.long().flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)


def resampled(images: Tensor, geometry: Tensor) -> Tensor:
    """Transform by bilinear sampling, at twice the resolution, between two low-pass filters."""
    height, width = images.shape[2:]
    columns = _places(width, images)
    rows = _places(height, images)
    grid = origins(geometry, columns, rows, (height, width))
    _to_enlarged_(grid[..., 0], width)
    _to_enlarged_(grid[..., 1], height)
    return filters.reduced(sample(filters.enlarged(images), grid))


def _places(side: int, like: Tensor) -> Tensor:
    """Give all places that `reduced` needs for a side of a result, in pixels."""
    count = 2 * side + filters.TAPS - 2
    places = torch.arange(count, device=like.device, dtype=like.dtype)
    return (places - filters.DELAY) / 2


def _to_enlarged_(place: Tensor, side: int) -> None:
    """Turn what is 0 to 1 between outermost pixels into -1 to 1 between edges of `enlarged`."""
    first = filters.DELAY - filters.START + 0.5
    place.mul_(2 * (side - 1) / (side + 1)).add_(first / (side + 1) - 1)
