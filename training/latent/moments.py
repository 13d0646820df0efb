"""Mean and covariance of many ws, and the axes along which they vary."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from training.latent.sampler import Sampler
from training.trained_on import Progress, silent

_AT_ONCE: Final = 1024  # ws between two signs of life


class Moments:
    """Mean and covariance of rows that come in parts, in 64 bit; memory does not grow with them.

    Attributes
    ----------
    count : int
    mean : Tensor of shape (n,), float64
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean = torch.zeros(width, dtype=torch.float64)
        self._scatter = torch.zeros(width, width, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take (N, width) more; parts are merged about their means, so that nothing cancels."""
        part = rows.double().cpu()
        n, mean = len(part), part.mean(0)
        centred, apart = part - mean, mean - self.mean
        total = self.count + n
        self._scatter += centred.T @ centred
        self._scatter += torch.outer(apart, apart) * (self.count * n / total)
        self.mean = self.mean + apart * (n / total)
        self.count = total

    @property
    def covariance(self) -> Tensor:
        """Unbiased, (width, width)."""
        return self._scatter / max(self.count - 1, 1)


def w_moments(
    sampler: Sampler,
    samples: int,
    *,
    seed: int = 0,
    label: int | None = None,
    progress: Progress = silent,
) -> Moments:
    """Take mean and covariance of w over the seeds from `seed` on."""
    found = Moments(sampler.w_dim)
    for w in stream_w(sampler, samples, seed, label, _AT_ONCE):
        found.add(w)
        progress("ws", found.count, samples)
    return found


def std_along(covariance: Tensor, vectors: Tensor) -> list[float]:
    """Give the standard deviation along each unit vector, never quite 0; (n, n) and (K, n)."""
    vectors = vectors.double()
    variances = ((vectors @ covariance) * vectors).sum(1)
    return [math.sqrt(max(variance, 1e-24)) for variance in variances.tolist()]


def principal(covariance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Give the `count` strongest principal axes, as rows with canonical signs, and all variances.

    Returns
    -------
    axes : Tensor of shape (count, n), float64
    variances : Tensor of shape (n,), float64
        Falling, at least 0.
    """
    values, vectors = torch.linalg.eigh(covariance)
    return canonical(vectors.flip(1)[:, :count].T), values.flip(0).clamp_min(0)


def canonical(vectors: Tensor) -> Tensor:
    """Choose the sign of each row such that its largest number is positive; (K, n) to (K, n)."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -vectors, vectors)


def stream_w(
    sampler: Sampler, samples: int, seed: int, label: int | None, at_once: int
) -> Iterator[Tensor]:
    """Yield the ws of the seeds from `seed` on, `at_once` at a time."""
    for start in range(seed, seed + samples, at_once):
        yield sampler.w(range(start, min(start + at_once, seed + samples)), label)
