"""Samples that come out twice: pairs that are nearer than samples usually are to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.encoder import OwnEncoder
from training.errors import SetupError
from training.latent.draws import Truncation
from training.latent.layout import labelled
from training.latent.sampler import PLAIN, Pixels, Sampler
from training.trained_on import Progress, silent

NEAR: Final = 0.1
"""Share of the usual distance below which two samples are called the same."""

_BY_DIFFERENCES: Final = "donot_use_mm_for_euclid_dist"
_ROWS: Final = 512  # of the matrix of distances at a time
_SHOWN: Final = 12  # pairs on the sheet
_USUAL: Final = 4096  # samples whose median distance is taken, at most


@dataclass(frozen=True, slots=True)
class Twins:
    """How far samples repeat.

    Attributes
    ----------
    count : int
        Samples.
    repeated : int
        Samples with another one nearer than `NEAR` × `usual`.
    usual : float
        Median distance of two samples that differ, in features of `OwnEncoder`.
    pairs : tuple of (int, int, float)
        The nearest pairs, by their seeds, with distance / `usual`; nearest first.
    encoder : str
    """

    count: int
    repeated: int
    usual: float
    pairs: tuple[tuple[int, int, float], ...]
    encoder: str


def find_twins(
    sampler: Sampler,
    seeds: Sequence[int],
    truncation: Truncation = PLAIN,
    *,
    label: int | None = None,
    progress: Progress = silent,
) -> tuple[Twins, Image.Image]:
    """Compare all pairs of samples; draw the nearest.

    Truncation brings samples nearer to each other: compare at equal truncation only.

    Raises
    ------
    SetupError
        If there are fewer than two samples.
    """
    if len(set(seeds)) < 2:
        raise SetupError(f"at least 2 different seeds are compared, got {len(set(seeds))}")
    encoder = OwnEncoder().to(sampler.device)
    found: list[Tensor] = []
    done = 0
    for part, pixels in sampler.pictures(seeds, truncation, label=label):
        given = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(sampler.device)
        found.append(encoder(given))
        done += len(part)
        progress("samples", done, len(seeds))
    distances, others, usual = _nearest(torch.cat(found))
    pairs = _pairs(distances, others)[:_SHOWN]
    told = tuple((seeds[i], seeds[j], d / usual if usual > 0 else 0.0) for i, j, d in pairs)
    repeated = int((distances <= NEAR * usual).sum())
    twins = Twins(len(seeds), repeated, usual, told, encoder.name)
    return twins, _sheet(sampler, twins, truncation, label)


def _nearest(points: Tensor) -> tuple[Tensor, Tensor, float]:
    """Give each point's distance to its nearest other, which that is, and the usual distance."""
    distances, others = [], []
    for at in range(0, len(points), _ROWS):
        # By differences: by products, copies would be a little apart.
        apart = torch.cdist(points[at : at + _ROWS], points, compute_mode=_BY_DIFFERENCES)
        apart[torch.arange(len(apart)), torch.arange(at, at + len(apart))] = torch.inf
        nearest = apart.min(dim=1)
        distances.append(nearest.values)
        others.append(nearest.indices)
    among = torch.pdist(points[:_USUAL])
    differing = among[among > 0]  # of many copies, most pairs have no distance at all
    usual = float(differing.median()) if len(differing) else 0.0
    return torch.cat(distances), torch.cat(others), usual


def _pairs(distances: Tensor, others: Tensor) -> list[tuple[int, int, float]]:
    """Give pairs of points once each, the nearest first."""
    pairs: dict[tuple[int, int], float] = {}
    for i in distances.argsort(stable=True).tolist():
        j = int(others[i])
        pairs.setdefault((min(i, j), max(i, j)), float(distances[i]))
    return [(i, j, distance) for (i, j), distance in pairs.items()]


def _sheet(
    sampler: Sampler, twins: Twins, truncation: Truncation, label: int | None
) -> Image.Image:
    wanted = [seed for i, j, _ in twins.pairs for seed in (i, j)]
    made: list[Pixels] = [pixels for _, pixels in sampler.pictures(wanted, truncation, label=label)]
    captions = [f"{i} and {j}: {share:.2f}" for i, j, share in twins.pairs]
    return labelled(np.concatenate(made), columns=2, beside=captions)
