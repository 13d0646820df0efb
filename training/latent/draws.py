"""What a seed stands for: a latent, a class, and noise; each its own, whatever is drawn beside it.

Truncation by resampling z: https://arxiv.org/abs/1809.11096; in w, with a cutoff:
https://arxiv.org/abs/1812.04948.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from training.draws import generator
from training.errors import SetupError

NoiseKind = Literal["fixed", "random", "none"]
"""`fixed`: that of the networks, the same for all; `random`: of the seed; `none`."""

_CPU: Final = torch.device("cpu")
_SMALLEST_LIMIT: Final = 0.1  # of z: below, nearly all numbers are drawn in vain
_WILDEST: Final = 4.0  # |psi|: beyond, pictures are all noise
MAX_SEED: Final = 2**63 - 1
MOST_SEEDS: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Truncation:
    """How much variety is given up for quality.

    Attributes
    ----------
    psi : float
        Share of the way from the mean w: 1 leaves w as it is, 0 gives the mean, negative the
        opposite.
    cutoff : int or None
        Pull only so many of a picture's ws, from the lowest; None: all.
    z_limit : float or None
        Numbers of z beyond ± this are drawn again; None: none are.

    Raises
    ------
    SetupError
        If a value is out of range.
    """

    psi: float = 1.0
    cutoff: int | None = None
    z_limit: float | None = None

    def __post_init__(self) -> None:
        if not abs(self.psi) <= _WILDEST:
            raise SetupError(f"`psi` must be within ±{_WILDEST:g}, got {self.psi}; try 0.7")
        if self.cutoff is not None and self.cutoff < 0:
            raise SetupError(f"`cutoff` must be at least 0, got {self.cutoff}")
        if self.z_limit is not None and not _SMALLEST_LIMIT <= self.z_limit < math.inf:
            raise SetupError(
                f"`z_limit` must be at least {_SMALLEST_LIMIT:g}, got {self.z_limit}; try 2"
            )


def draw_z(seeds: Sequence[int], z_dim: int, limit: float | None = None) -> Tensor:
    """Draw the latent of each seed.

    Parameters
    ----------
    seeds
        0 to 2**63 - 1.
    z_dim
    limit
        See `Truncation.z_limit`. Numbers within it are those that there are without a limit.

    Returns
    -------
    Tensor of shape (N, z_dim), float32, on the CPU
    """
    return torch.stack([_one_z(seed, z_dim, limit) for seed in seeds])


def _one_z(seed: int, z_dim: int, limit: float | None) -> Tensor:
    draw = generator(_CPU, seed, 0, "z")
    z = torch.randn(z_dim, generator=draw)
    while limit is not None and bool((beyond := z.abs() > limit).any()):
        z = torch.where(beyond, torch.randn(z_dim, generator=draw), z)
    return z


def draw_labels(seeds: Sequence[int], classes: int) -> Tensor:
    """Draw a class for each seed, all equally often; int64 (N,)."""
    drawn = [torch.randint(classes, (), generator=generator(_CPU, s, 0, "class")) for s in seeds]
    return torch.stack(drawn)


def draw_noises(seeds: Sequence[int], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Draw the noise of each seed, a tensor of shape (N, 1, h, w) for each size, on the CPU."""
    draws = [generator(_CPU, seed, 0, "noise") for seed in seeds]
    return [torch.stack([torch.randn(1, h, w, generator=draw) for draw in draws]) for h, w in sizes]


def parse_seeds(text: str) -> Sequence[int]:
    """Read seeds, `7`, `0-99` or `1,5,10-19`, in the order given.

    Raises
    ------
    SetupError
        If it is something else, or seeds are too large or too many.
    """
    parts = [_range_of(part, text) for part in text.split(",")]
    count = sum(map(len, parts))
    if count > MOST_SEEDS:
        raise SetupError(f"at most {MOST_SEEDS:,} seeds at once, got {count:,}")
    return parts[0] if len(parts) == 1 else [seed for part in parts for seed in part]


def _range_of(part: str, text: str) -> range:
    first, dash, last = (end.strip() for end in part.partition("-"))
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise SetupError(f"seeds must be like 0-99 or 1,5,10-19, got {text[:80]!r}")
    start = int(first)
    stop = int(last) if dash else start
    if stop < start or stop > MAX_SEED:
        raise SetupError(f"seeds must go up, to {MAX_SEED} at most, got {part.strip()[:80]!r}")
    return range(start, stop + 1)
