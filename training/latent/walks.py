"""Paths through latent space: straight, closed through keys, and round a circle.

They only turn numbers into latents, and are asked at any places. So that each step changes as much
of what is seen as the next, see `training.latent.steps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from training.draws import generator
from training.errors import SetupError

Walk = Callable[[Tensor], Tensor]
"""From turns (F,) to the ws of each frame's pictures, (F, cells, num_ws, w_dim)."""

_CPU: Final = torch.device("cpu")
_PARALLEL: Final = 1e-6  # of an angle's sine: below, the way between is a straight line


def turns(count: int) -> Tensor:
    """Give `count` equal parts of a turn, 0 first; 1, which is 0 again, is left out."""
    return torch.arange(count, dtype=torch.float64) / count


def straight(start: Tensor, end: Tensor, count: int) -> Tensor:
    """Go from one point to another in a straight line.

    Parameters
    ----------
    start, end : Tensor of shape (...)
    count
        Points, both ends among them; at least 2.

    Returns
    -------
    Tensor of shape (count, ...)
    """
    if count < 2:
        raise ValueError(f"`count` must be at least 2, got {count}")
    at = torch.linspace(0, 1, count, dtype=start.dtype, device=start.device)
    return torch.lerp(start, end, at.view(-1, *[1] * start.ndim))


def closed_spline(keys: Tensor, at: Tensor) -> Tensor:
    """Go through keys and back to the first, on a periodic cubic spline.

    Place, speed and acceleration change without a jump, at the seam as well: nobody sees where a
    key is, nor where a loop begins.

    Parameters
    ----------
    keys : Tensor of shape (K, ...), floating point
        Key k is passed at k / K of a turn.
    at : Tensor of shape (N,)
        Turns, of any size.

    Returns
    -------
    Tensor of shape (N, ...), like `keys`
    """
    count = len(keys)
    points = keys.reshape(count, -1).double()
    bends: Tensor = torch.linalg.solve(
        _circulant(count, points.device), 6 * _second_differences(points)
    )
    index, part = _pieces(at, count, points.device)
    after, t = (index + 1) % count, part[:, None]
    curve = (1 - t) * points[index] + t * points[after]
    curve = curve + ((1 - t) ** 3 - (1 - t)) / 6 * bends[index] + (t**3 - t) / 6 * bends[after]
    return curve.to(keys.dtype).reshape(-1, *keys.shape[1:])


def slerp(start: Tensor, end: Tensor, at: Tensor) -> Tensor:
    """Turn from one direction to another, evenly; lengths change evenly too.

    Parameters
    ----------
    start, end : Tensor of shape (N, D)
        None of length 0; not opposite to each other.
    at : Tensor of shape (N,)
        0 gives `start`, 1 gives `end`.

    Returns
    -------
    Tensor of shape (N, D)
    """
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    a, b = start / lengths[0], end / lengths[1]
    t = at.to(start)[:, None]
    # Stable for small angles, where the arc cosine of a product is not.
    angle = 2 * torch.atan2((a - b).norm(dim=1, keepdim=True), (a + b).norm(dim=1, keepdim=True))
    sine = angle.sin()
    near = sine < _PARALLEL
    safe = torch.where(near, 1.0, sine)
    left = torch.where(near, 1 - t, ((1 - t) * angle).sin() / safe)
    right = torch.where(near, t, (t * angle).sin() / safe)
    turned: Tensor = (left * a + right * b) * torch.lerp(*lengths, t)
    return turned


def closed_slerp(keys: Tensor, at: Tensor) -> Tensor:
    """Go through keys and back to the first, from each to the next by `slerp`.

    Parameters
    ----------
    keys : Tensor of shape (K, D)
        Of z.
    at : Tensor of shape (N,)
        Turns.

    Returns
    -------
    Tensor of shape (N, D)
    """
    index, part = _pieces(at, len(keys), keys.device)
    return slerp(keys[index], keys[(index + 1) % len(keys)], part)


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle in z round the origin, as far from it as latents are: sqrt(z_dim).

    Attributes
    ----------
    axes : Tensor of shape (2, z_dim), float64
        At a right angle, of that length.
    """

    axes: Tensor

    @classmethod
    def of_seed(cls, seed: int, z_dim: int) -> Circle:
        """Draw one; any direction is as likely as any other.

        Raises
        ------
        SetupError
            If z has fewer than two numbers.
        """
        if z_dim < 2:
            raise SetupError(f"a circle needs a `z_dim` of at least 2, the model has {z_dim}")
        drawn = torch.randn(z_dim, 2, generator=generator(_CPU, seed, 0, "circle")).double()
        first = F.normalize(drawn[:, 0], dim=0)
        second = F.normalize(drawn[:, 1] - (drawn[:, 1] @ first) * first, dim=0)
        return cls(torch.stack([first, second]) * math.sqrt(z_dim))

    def z(self, at: Tensor) -> Tensor:
        """Give the points at these turns, float32 (N, z_dim)."""
        angle = 2 * math.pi * at.double()
        return (torch.stack([angle.cos(), angle.sin()], dim=1) @ self.axes).float()


def _circulant(count: int, device: torch.device) -> Tensor:
    one = torch.eye(count, dtype=torch.float64, device=device)
    return 4 * one + one.roll(1, 0) + one.roll(-1, 0)


def _second_differences(points: Tensor) -> Tensor:
    return points.roll(-1, 0) - 2 * points + points.roll(1, 0)


def _pieces(at: Tensor, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give before which part of a turn positions lie, and how far in it, 0 to 1."""
    place = at.double().to(device).remainder(1) * count
    index = place.floor().long().clamp_(max=count - 1)
    return index, place - index
