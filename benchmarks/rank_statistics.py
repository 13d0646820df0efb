"""How well an order finds what was planted, with intervals by bootstrap.

Scores are higher for sounder pictures, so that what was planted ought to lie lowest. Sound and
planted pictures are drawn anew each by themselves: a resample has as many of both. Two orders are
resampled with the same draws, so that their difference has an interval of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MEASURES: Final = ("auroc", "ap", "precision", "lift")
RESAMPLES: Final = 1000
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95% interval; `draws` are those of the resamples."""

    value: float
    low: float
    high: float
    draws: Floats

    def minus(self, other: Estimate) -> Estimate:
        """Difference to another figure of the same pictures and the same resamples."""
        return _estimate(self.value - other.value, self.draws - other.draws)


def evaluate(
    scores: Floats, planted: Mask, *, seed: int, resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Hold an order against what was planted.

    Parameters
    ----------
    scores : ndarray of shape (n,), finite or infinite
        Lower for odder; equal ones count as in no order.
    planted : ndarray of shape (n,), bool
        At least one is, and at least one is not.
    seed
        Of the resamples: equal seeds draw the same pictures, whatever the scores.
    resamples
        How many.

    Returns
    -------
    dict
        `auroc`: chance that a planted picture lies below a sound one; 0.5 is chance. `ap`: average
        precision; the share of planted ones is chance. `precision`: share of planted ones among
        the k lowest, where k were planted. `lift`: that, over their share in all.
    """
    if scores.shape != planted.shape or not planted.any() or planted.all():
        raise ValueError(
            "`scores` must be as many as `planted`, of which some are and some are not, got "
            f"{scores.shape} and {planted.shape} with {int(planted.sum())} planted"
        )
    _, group = np.unique(scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    ones = np.ones((1, len(scores)))
    exact = _measures(ones[:, order], planted[order], starts)
    parts = []
    rng = np.random.default_rng(seed)
    for at in range(0, resamples, _AT_ONCE):
        weights = _resample(planted, min(_AT_ONCE, resamples - at), rng)
        parts.append(_measures(weights[:, order], planted[order], starts))
    return {
        name: _estimate(float(exact[name][0]), np.concatenate([part[name] for part in parts]))
        for name in MEASURES
    }


def shares(scores: Floats, planted: Mask) -> dict[str, float]:
    """Give what share of the planted lies in the lowest 3, 5, 10% and in the highest 1% of all."""
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable") / len(scores)
    mine = ranks[planted]
    lowest = {f"lowest_{percent}": float((mine < percent / 100).mean()) for percent in (3, 5, 10)}
    return {**lowest, "highest_1": float((mine >= 0.99).mean())}


def _resample(planted: Mask, count: int, rng: np.random.Generator) -> Floats:
    """Give how often each picture was drawn, (count, n)."""
    weights = np.zeros((count, len(planted)))
    for side in (planted, ~planted):
        size = int(side.sum())
        drawn = rng.integers(0, size, (count, size)) + size * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * size)
        weights[:, side] = times.reshape(count, size)
    return weights


def _measures(weights: Floats, planted: Mask, starts: NDArray[np.intp]) -> dict[str, Floats]:
    """Take all measures of weighted pictures, lowest first; `starts` are where scores change."""
    hits = np.add.reduceat(weights * planted, starts, axis=1)
    misses = np.add.reduceat(weights * ~planted, starts, axis=1)
    k, sound = hits.sum(1), misses.sum(1)
    found, alarms = hits.cumsum(1), misses.cumsum(1)
    auroc = (hits * (sound[:, None] - alarms + misses / 2)).sum(1) / (k * sound)
    taken = found + alarms
    ap = (hits * found / np.maximum(taken, 1)).sum(1) / k
    # of the group in which the k-th lies, as large a part as is still wanted
    before = np.concatenate([np.zeros((len(k), 1)), taken[:, :-1]], axis=1)
    width = np.maximum(taken - before, 1)
    part = np.clip((k[:, None] - before) / width, 0, 1)
    precision = (hits * part).sum(1) / k
    return {
        "auroc": auroc,
        "ap": ap,
        "precision": precision,
        "lift": precision / (k / (k + sound)),
    }


def _estimate(value: float, draws: Floats) -> Estimate:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high), draws)
