"""Walks whose every step changes what is seen by as much as the next.

How far two pictures are apart is the root mean square of their differences in brightness and, at
half the weight, in colour, at full size and at every halving of it, added up: what moves shows at
the fine scales, what changes as a whole at the coarse ones. It compares place by place, as the eye
does between two frames. `training.encoder.OwnEncoder`, which takes means over the picture, sees
little of where things are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from training.latent.sampler import Sampler
from training.latent.walks import Walk, turns
from training.trained_on import Progress, silent

Measure = Callable[[Tensor, str], Tensor]
"""From turns (N,), and what they are for, to the N steps of the closed walk."""

BAND: Final = 1.05  # largest step / mean step that is good enough
ROUNDS: Final = 4
_FINE: Final = 4  # times as many points as are wanted, to find the way
_LOOKED_AT: Final = 256  # px of the longer side: finer detail is not compared
_STILL: Final = 1e-9  # of the way: where nothing moves, so much does
_SMALLEST: Final = 4  # px of the longer side at the coarsest scale
_LUMA: Final = (0.299, 0.587, 0.114)
_COLOUR: Final = 0.5  # the eye sees differences of brightness better


@dataclass(frozen=True, slots=True)
class EqualSteps:
    """Turns at which consecutive pictures are equally far apart.

    Attributes
    ----------
    turns : Tensor of shape (N,), float64
        Ascending from 0, below 1.
    before, after : float
        Largest step / mean step, of equal angles and of these; the way back to the first is one.
    rounds : int
        How often points were placed and their steps measured.
    """

    turns: Tensor
    before: float
    after: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Way:
    """How far one has come at which turn.

    Attributes
    ----------
    knots : Tensor of shape (M + 1,), float64
        Turns, ascending from 0 to 1.
    covered : Tensor of shape (M + 1,), float64
        Ascending from 0; between knots it grows evenly.
    """

    knots: Tensor
    covered: Tensor

    @classmethod
    def of_steps(cls, at: Tensor, steps: Tensor) -> Way:
        """Add up steps from each turn to the next, the last to the first."""
        return cls(_ended(at), _added_up(steps))

    def evened(self, count: int) -> Tensor:
        """Give turns at equal parts of the way, from 0."""
        return _interpolated(turns(count) * self.covered[-1], self.covered, self.knots)

    def corrected(self, at: Tensor, steps: Tensor) -> Way:
        """Stretch the way between turns to the steps that were measured of them."""
        ends = _ended(at)
        knots = torch.unique(torch.cat([self.knots, ends]))
        parts = _interpolated(knots, self.knots, self.covered).diff()
        step_of = _before((knots[1:] + knots[:-1]) / 2, ends)
        lengths = torch.zeros_like(steps).index_add(0, step_of, parts)
        return Way(knots, _added_up(parts * (steps / lengths)[step_of]))


def equal_steps(
    measure: Measure, count: int, *, band: float = BAND, rounds: int = ROUNDS
) -> EqualSteps:
    """Place points on a closed walk so that what is seen changes equally at each step.

    Four times as many small steps are measured and added up to the way that is covered, and points
    are put at equal parts of it. Where the way bends, a step is shorter than it; so the way is
    corrected by the steps of the points, and these are put anew, until they lie in the band. The
    best of all rounds is given.

    Parameters
    ----------
    measure
    count
        Points, at least 2.
    band
        Largest step / mean step at which to stop.
    rounds
        At most; 0 leaves equal angles.
    """
    chosen = turns(count)
    best = first = unevenness(measure(chosen, "equal angles"))
    number = 0
    if rounds and first > band:
        fine = turns(_FINE * count)
        way = Way.of_steps(fine, measure(fine, "the way"))
        while best > band and number < rounds:
            number += 1
            at = way.evened(count)
            steps = measure(at, f"round {number}")
            way = way.corrected(at, steps)
            best, chosen = min((best, chosen), (unevenness(steps), at), key=lambda found: found[0])
    return EqualSteps(chosen, first, best, number)


def unevenness(steps: Tensor) -> float:
    """Give the largest step / the mean one; 1 where nothing moves."""
    mean = float(steps.mean())
    return float(steps.max()) / mean if mean > 0 else 1.0


def measure_walk(
    sampler: Sampler,
    walk: Walk,
    noises: Sequence[Tensor] | None = None,
    progress: Progress = silent,
) -> Measure:
    """Give what measures the steps of a closed walk.

    Parameters
    ----------
    sampler
    walk
        Of one picture.
    noises
        For one picture, as `Sampler.noises` gives them; None: fixed.
    progress
        Told of pictures, anew for each purpose.
    """

    def measure(at: Tensor, purpose: str) -> Tensor:
        told = partial(progress, f"measure {purpose}")
        return _closed_steps(_seen(sampler, walk, at, noises, told))

    return measure


def appearance(images: Tensor) -> Tensor:
    """Give numbers whose Euclidean distance is how far pictures are apart to look at.

    Not rounded to whole grey levels, in which the small steps of a slow walk would be lost.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W), float32
        In [-1, 1], inverted or not.

    Returns
    -------
    Tensor of shape (N, F)
        In grey levels of 255.
    """
    factor = -(-max(images.shape[2:]) // _LOOKED_AT)
    level = _shrunk(_opponents(images.clamp(-1, 1) * 127.5), factor)
    parts = [_flat(level)]
    while max(level.shape[2:]) >= 2 * _SMALLEST:
        level = _shrunk(level, 2)
        parts.append(_flat(level))
    return torch.cat(parts, dim=1)


@torch.no_grad()
def _seen(
    sampler: Sampler,
    walk: Walk,
    at: Tensor,
    noises: Sequence[Tensor] | None,
    told: Callable[[int, int], None],
) -> Iterator[Tensor]:
    G = sampler.model.G
    one = G.fixed_noise(1) if noises is None else noises
    for start in range(0, len(at), sampler.batch):
        ws = walk(at[start : start + sampler.batch])[:, 0]
        images = G.synthesis(ws, [noise.expand(len(ws), -1, -1, -1) for noise in one])
        yield appearance(images.float())
        told(start + len(ws), len(at))


def _closed_steps(parts: Iterator[Tensor]) -> Tensor:
    """Give the distance from each row to the next, the last to the first, holding few at a time."""
    first = last = None
    found = []
    for rows in parts:
        if first is None or last is None:
            first = rows[:1]
        else:
            rows = torch.cat([last, rows])
        found.append((rows[1:] - rows[:-1]).norm(dim=1))
        last = rows[-1:]
    assert first is not None and last is not None, "a walk has points"
    return torch.cat([*found, (first - last).norm(dim=1)]).double().cpu()


def _opponents(rgb: Tensor) -> Tensor:
    luma = (rgb * rgb.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return torch.cat([luma, _COLOUR * (rgb[:, ::2] - luma)], dim=1)


def _shrunk(level: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return level
    return F.avg_pool2d(level, factor, ceil_mode=True, count_include_pad=False)


def _flat(level: Tensor) -> Tensor:
    return level.flatten(1) / math.sqrt(level.shape[2] * level.shape[3])


def _ended(at: Tensor) -> Tensor:
    return F.pad(at, (0, 1), value=1.0)


def _added_up(steps: Tensor) -> Tensor:
    # A step of nothing would leave two turns for one place.
    return F.pad((steps + _STILL * steps.sum()).cumsum(0), (1, 0))


def _before(x: Tensor, knots: Tensor) -> Tensor:
    return (torch.searchsorted(knots, x, right=True) - 1).clamp_(0, len(knots) - 2)


def _interpolated(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    index = _before(x, knots)
    part = (x - knots[index]) / (knots[index + 1] - knots[index])
    return torch.lerp(values[index], values[index + 1], part.clamp_(0, 1))
