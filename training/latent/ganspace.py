"""Directions by principal components, of w or of activations (https://arxiv.org/abs/2004.02546)."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from training.draws import generator
from training.errors import SetupError
from training.latent.directions import Direction, DirectionSet
from training.latent.layer_groups import find_layers
from training.latent.moments import Moments, principal, std_along, stream_w, w_moments
from training.latent.sampler import Sampler
from training.networks.generator import Generator, SynthesisLevel
from training.trained_on import Progress, silent

_WIDEST: Final = 1024  # features that a covariance is taken of; 8 MB at 64 bit
_AT_ONCE: Final = 128  # samples that are added to the covariance together
_ROUNDING: Final = 1e-10  # of the largest variance: what is below may be of rounding
_CELLS: Final = 8  # the longer side that activations are pooled to


def ganspace(
    sampler: Sampler,
    *,
    at: str = "w",
    samples: int = 10_000,
    count: int = 10,
    layers: str | None = None,
    seed: int = 0,
    label: int | None = None,
    name: str | None = None,
    progress: Progress = silent,
) -> DirectionSet:
    """Find directions by principal components.

    Components of w are directions themselves. Components of activations are given the direction of
    w that predicts them: their coordinates are uncorrelated, so the least squares of the paper are
    the covariance of w with a coordinate over its variance. Activations are pooled to 8 cells on
    the longer side, and brought to 1,024 numbers by a random projection where there are more.

    Parameters
    ----------
    sampler
    at
        `w`, or a resolution like `8x6` (height × width) whose activations are taken, noise fixed.
    samples
        Seeds, from `seed` on; more than `count`.
    count
        Directions, at most: there are fewer where fewer axes vary.
    layers
        Ws that they apply to, see `find_layers`; None: all, or for activations those that they
        depend on.
    label
        Class; None: that of each seed.
    name
        Of the set; None: `ganspace-` and `at`.
    progress
        Told how many samples are done.

    Raises
    ------
    SetupError
        If there is no such resolution, class or group of layers, or samples are too few.
    """
    _check(samples, count, sampler.w_dim)
    G = sampler.model.G
    if at == "w":
        moments = w_moments(sampler, samples, seed=seed, label=label, progress=progress)
        axes, variances = principal(moments.covariance, count)
        covariance, reach = moments.covariance, sampler.num_ws
    else:
        moments, width = _joint_moments(sampler, at, samples, seed, label, progress)
        both = moments.covariance
        inner, variances = principal(both[:width, :width], min(count, width))
        predicted = (inner @ both[:width, width:]) / variances[: len(inner), None].clamp_min(1e-24)
        axes = F.normalize(predicted, dim=1)
        covariance, reach = both[width:, width:], 2 * list(G.synthesis.levels).index(at) + 1
    real = int((variances[: len(axes)] > _ROUNDING * variances[0]).sum())
    bounds = (0, reach) if layers is None else find_layers(layers, sampler.num_ws)
    shares = (variances / variances.sum().clamp_min(1e-24)).tolist()
    scales = std_along(covariance, axes)
    directions = tuple(
        Direction(f"pc-{i + 1}", axes[i].float(), bounds, scales[i], share=shares[i])
        for i in range(real)
        if float(axes[i].norm()) > 0.5  # nothing of w predicts it: no direction
    )
    if not directions:
        what = "w does not vary" if at == "w" else f"activations at {at} do not change with w"
        raise SetupError(
            f"{what}; take another place (`at`), or a snapshot that was trained for longer"
        )
    return DirectionSet(
        f"ganspace-{at}" if name is None else name,
        "ganspace",
        sampler.model.name,
        sampler.w_dim,
        sampler.num_ws,
        directions,
    )


def activations(G: Generator, ws: Tensor, at: str) -> Tensor:
    """Give the activations that a resolution ends with, noise fixed.

    Parameters
    ----------
    G
    ws : Tensor of shape (N, num_ws, w_dim)
    at
        Name of the resolution, like `8x6`.

    Returns
    -------
    Tensor of shape (N, C, h, w)
    """
    each, noises = ws.unbind(1), G.fixed_noise(len(ws))
    x: Tensor | None = None
    picture: Tensor | None = None
    done = 0
    for name, level in G.synthesis.levels.items():
        assert isinstance(level, SynthesisLevel)
        end = done + len(level.convs)
        x, picture = level(x, picture, each[done : end + 1], noises[done:end])
        done = end
        if name == at:
            break
    assert x is not None
    return x


@torch.no_grad()
def _joint_moments(
    sampler: Sampler, at: str, samples: int, seed: int, label: int | None, progress: Progress
) -> tuple[Moments, int]:
    """Moments of features and w side by side, and how many of the numbers are features."""
    G = sampler.model.G
    levels = list(G.synthesis.levels)
    if at not in levels:
        raise SetupError(f"`at` must be w or one of {', '.join(levels)}, got {at!r}")
    moments: Moments | None = None
    projection: Tensor | None = None
    for w in stream_w(sampler, samples, seed, label, _AT_ONCE):
        parts = [w[i : i + sampler.batch] for i in range(0, len(w), sampler.batch)]
        features = torch.cat([_pooled(activations(G, G.spread(part), at)) for part in parts])
        if moments is None:
            projection = _projection(features.shape[1])
            width = features.shape[1] if projection is None else _WIDEST
            moments = Moments(width + sampler.w_dim)
        if projection is not None:
            features = features @ projection.to(features)
        moments.add(torch.cat([features, w], dim=1))
        progress("activations", moments.count, samples)
    assert moments is not None
    return moments, len(moments.mean) - sampler.w_dim


def _pooled(x: Tensor) -> Tensor:
    height, width = x.shape[2:]
    shrink = max(height, width) / _CELLS
    if shrink > 1:
        x = F.adaptive_avg_pool2d(
            x, (max(round(height / shrink), 1), max(round(width / shrink), 1))
        )
    return x.flatten(1).float()


def _projection(width: int) -> Tensor | None:
    if width <= _WIDEST:
        return None
    draw = generator(torch.device("cpu"), 0, 0, "ganspace")
    return torch.randn(width, _WIDEST, generator=draw) / math.sqrt(_WIDEST)


def _check(samples: int, count: int, w_dim: int) -> None:
    if not 1 <= count <= w_dim:
        raise SetupError(
            f"`count` must be from 1 to {w_dim}, as many numbers as w has, got {count}"
        )
    if samples <= count:
        raise SetupError(
            f"`samples` must be more than `count`, {count}, got {samples}; 10,000 are usual"
        )
