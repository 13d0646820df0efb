"""Encoders: pictures in, features out, under a name that goes with every figure taken of them.

`OwnEncoder` needs no download. It is a fixed bank of random filters at several scales: random
convolutions see texture, sharpness and noise well without being trained (Saxe et al. 2011, "On
random weights and unsupervised feature learning"), and pooled colours see tint and layout. It knows
no objects; figures taken with it are compared with each other and with nothing else.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training.errors import SetupError

_SIDES = (256, 128, 64, 32)
_FIRST = {256: (12, 3, 2), 128: (24, 5, 2), 64: (24, 5, 1), 32: (24, 5, 1)}  # filters, side, stride
_SECOND = {64: 32, 32: 32}  # filters of a second layer
_LAYOUT = 4  # cells a side
_AT_ONCE = 8  # pictures: what is computed of them stays in a processor's cache
_FLOOR = 0.01  # responses below about 1.3 grey levels of 255 count as none
_TYPICAL = 0.05  # responses of photographs: their logarithm is about 0


class Encoder(nn.Module):
    """Base of what turns pictures into features.

    Attributes
    ----------
    name : str
        Goes with every figure; changes whenever the features do.
    suffix : str
        Of the names of figures: "_own", or nothing for the published ones.
    num_features : int
    """

    name: str
    suffix: str
    num_features: int

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pictures.

        Parameters
        ----------
        pixels : Tensor of shape (N, 3, H, W), uint8, or floating point in [0, 255]

        Returns
        -------
        Tensor of shape (N, num_features), float32
        """
        raise NotImplementedError


@contextmanager
def exact(device: torch.device | str) -> Iterator[None]:
    """Compute in full 32 bit inside: no automatic 16 bit, and no TF32, whatever training uses."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        with torch.autocast(torch.device(device).type, enabled=False):
            yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def checked(pixels: Tensor) -> Tensor:
    """Return the pictures as they are; refuse any other shape or number type.

    Raises
    ------
    SetupError
        If `pixels` are not (N, 3, H, W), of uint8 or floating point.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.numel():
        raise SetupError(
            f"pictures must be (N, 3, H, W), got {tuple(pixels.shape)}; convert to RGB"
        )
    if pixels.dtype != torch.uint8 and not pixels.is_floating_point():
        raise SetupError(f"pictures must be uint8 or floating point, got {pixels.dtype}")
    return pixels


def area_resize(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize by areas: a new pixel is the mean of what it covers, fractions of pixels included.

    Parameters
    ----------
    pixels : Tensor of shape (..., H, W), floating point
    size : tuple of (height, width)

    Returns
    -------
    Tensor of shape (..., height, width)
    """
    rows, columns = (
        torch.from_numpy(_coverage(old, new)).to(pixels.device, pixels.dtype)
        for old, new in zip(pixels.shape[-2:], size, strict=True)
    )
    return rows @ pixels @ columns.T


@lru_cache(maxsize=16)
def _coverage(old: int, new: int) -> NDArray[np.float64]:
    """Share of each new cell that is covered by each old one, (new, old); rows sum to 1."""
    edges = np.arange(new + 1)[:, None] * (old / new)
    below = np.clip(edges - np.arange(old), 0, 1)  # of each old cell, what lies before the edge
    return np.asarray(np.diff(below, axis=0) * (new / old))


class OwnEncoder(Encoder):
    """Version 1 of our own encoder: 305 features of texture, colour and layout.

    Pictures of any (H, W) are brought to 256×256 by areas, and halved from there. At each side
    zero-mean orthonormal filters are followed by a rectifier; their mean and root mean square over
    the picture are taken as logarithms, so that a blur that halves the finest texture counts as
    much in a smooth picture as in a busy one. Filters are float32 and come from a hash of the
    name, not from a random generator, whose numbers may differ between versions and machines.
    """

    name = "own-1"
    suffix = "_own"

    def __init__(self) -> None:
        super().__init__()
        for side, (count, size, _) in _FIRST.items():
            self.register_buffer(f"first_{side}", _filters(f"first {side}", count, 3, size))
        for side, count in _SECOND.items():
            below = _FIRST[side][0]
            self.register_buffer(f"second_{side}", _filters(f"second {side}", count, below, 3))
        textures = 2 * sum(count for count, _, _ in _FIRST.values()) + sum(_SECOND.values())
        self.num_features = textures + 4 * _LAYOUT**2 + 9

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pictures; see `Encoder.forward`."""
        with exact(pixels.device):
            return torch.cat(
                [self._features(part) for part in torch.split(checked(pixels), _AT_ONCE)]
            )

    def _features(self, pixels: Tensor) -> Tensor:
        x = area_resize(pixels.float() / 127.5 - 1, (_SIDES[0], _SIDES[0]))
        parts: list[Tensor] = []
        for side in _SIDES:
            if side != _SIDES[0]:
                x = F.avg_pool2d(x, 2)
            parts += self._textures(x, side)
        return torch.cat([*parts, _layout(x), _colour(x)], dim=1)

    def _textures(self, x: Tensor, side: int) -> list[Tensor]:
        h = F.conv2d(x, self.get_buffer(f"first_{side}"), stride=_FIRST[side][2]).relu()
        parts = [_log(h.mean((2, 3))), _log(h.square().mean((2, 3)).sqrt())]
        if side in _SECOND:
            second = F.conv2d(F.avg_pool2d(h, 2), self.get_buffer(f"second_{side}")).relu()
            parts.append(_log(second.mean((2, 3))))
        if side == 64:
            energy = F.adaptive_avg_pool2d(h.mean(1, keepdim=True), _LAYOUT)
            parts.append(_log(energy).flatten(1))
        return parts


def _log(x: Tensor) -> Tensor:
    return ((x + _FLOOR) / _TYPICAL).log()


def _layout(x: Tensor) -> Tensor:
    """Mean colours of a coarse grid, in [-1, 1]."""
    return F.adaptive_avg_pool2d(x, _LAYOUT).flatten(1)


def _colour(x: Tensor) -> Tensor:
    """Means of brightness and of two differences of channels; spread of channels and differences.

    Weighted up, for they are few: a tint of the whole picture has to count.
    """
    r, g, b = x.unbind(1)
    means = [v.mean((1, 2)) for v in ((r + g + b) / 3, r - g, g - b)]
    spreads = [v.std((1, 2)) for v in (r, g, b, r - g, g - b, b - r)]
    return torch.cat([4 * torch.stack(means, dim=1), 2 * torch.stack(spreads, dim=1)], dim=1)


def _filters(name: str, count: int, channels: int, size: int) -> Tensor:
    """Orthonormal filters without a mean in any channel, (count, channels, size, size)."""
    rows = _normal(f"{OwnEncoder.name} {name}", count * channels * size**2)
    rows = rows.reshape(count, channels, size**2)
    rows = (rows - rows.mean(axis=2, keepdims=True)).reshape(count, -1)
    return torch.from_numpy(_orthonormal(rows).reshape(count, channels, size, size)).float()


def _normal(name: str, count: int) -> NDArray[np.float64]:
    """Draw normal numbers out of a hash (Box–Muller), the same everywhere."""
    raw = np.frombuffer(hashlib.shake_256(name.encode()).digest(16 * count), "<u8")
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius = np.sqrt(-2 * np.log(uniform[:count]))
    return np.asarray(radius * np.cos(2 * math.pi * uniform[count:]))


def _orthonormal(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gram–Schmidt, twice for accuracy: unlike a QR by LAPACK it leaves no sign to chance."""
    for _ in range(2):
        kept: list[NDArray[np.float64]] = []
        for row in rows:
            for other in kept:
                row = row - (row @ other) * other
            kept.append(row / np.linalg.norm(row))
        rows = np.stack(kept)
    return rows
