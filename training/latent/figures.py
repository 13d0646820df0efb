"""The figures by which generators are shown: grids, truncation, style mixing, noise.

As in https://arxiv.org/abs/1812.04948 (figures 2 to 5 and 8): nothing is picked by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from training.errors import SetupError
from training.latent.draws import NoiseKind, Truncation, draw_noises
from training.latent.layout import Sheet, labelled
from training.latent.looks import mix
from training.latent.sampler import PLAIN, Pixels, Sampler
from training.trained_on import Progress, silent


def uncurated(
    sampler: Sampler,
    seeds: Sequence[int],
    truncation: Truncation = PLAIN,
    *,
    columns: int | None = None,
    label: int | None = None,
    noise: NoiseKind = "fixed",
    progress: Progress = silent,
) -> Image.Image:
    """Lay out pictures of seeds as they come, row by row; memory does not grow with theirs.

    Raises
    ------
    SetupError
        If there are too many for a sheet.
    """
    sheet = Sheet(len(seeds), sampler.size, columns=columns)
    done = 0
    for part, pixels in sampler.pictures(seeds, truncation, label=label, noise=noise):
        sheet.add(pixels)
        done += len(part)
        progress("pictures", done, len(seeds))
    return sheet.image


def truncation_sweep(
    sampler: Sampler,
    seeds: Sequence[int],
    psis: Sequence[float],
    *,
    cutoff: int | None = None,
    label: int | None = None,
    progress: Progress = silent,
) -> Image.Image:
    """Show the same seeds at one truncation beside the other: a row a seed, a column a psi."""
    w = sampler.w(seeds, label)
    columns = []
    for done, psi in enumerate(psis, start=1):
        columns.append(sampler.render(sampler.spread(w, Truncation(psi, cutoff))))
        progress("truncations", done, len(psis))
    return labelled(
        _by_rows(columns),
        columns=len(psis),
        above=[f"psi {psi:g}" for psi in psis],
        beside=[str(seed) for seed in seeds],
    )


def style_mixing(
    sampler: Sampler,
    rows: Sequence[int],
    columns: Sequence[int],
    layers: tuple[int, int],
    truncation: Truncation = PLAIN,
    *,
    label: int | None = None,
    progress: Progress = silent,
) -> Image.Image:
    """Give each row's picture the styles of each column's in some layers.

    Parameters
    ----------
    rows, columns
        Seeds.
    layers
        The ws that come from the column: from the first to before the second.

    Raises
    ------
    SetupError
        If there are no such layers.
    """
    first, last = layers
    if not 0 <= first < last <= sampler.num_ws:
        raise SetupError(
            f"`layers` must be of 0 to {sampler.num_ws}, the first below the last, "
            f"got {first} to {last}"
        )
    sources = sampler.ws(rows, truncation, label)
    given = sampler.ws(columns, truncation, label)
    heads, top = sampler.render(sources), sampler.render(given)
    made = [np.concatenate([np.full_like(top[:1], 255), top])]
    for done, (head, ws) in enumerate(zip(heads, sources, strict=True), start=1):
        mixed = mix(ws, given, layers)
        made.append(np.concatenate([head[None], sampler.render(mixed)]))
        progress("rows", done, len(rows))
    return labelled(
        np.concatenate(made),
        columns=len(columns) + 1,
        above=[f"layers {first}-{last - 1} of", *map(str, columns)],
        beside=["", *map(str, rows)],
    )


def noise_detail(
    sampler: Sampler,
    seeds: Sequence[int],
    truncation: Truncation = PLAIN,
    *,
    draws: int = 4,
    compared: int = 32,
    label: int | None = None,
    progress: Progress = silent,
) -> Image.Image:
    """Show what noise changes: pictures with several noises, and where they differ.

    The last column is the standard deviation of brightness over `compared` noises, black where all
    are equal, white at the largest of the sheet.
    """
    ws = sampler.ws(seeds, truncation, label)
    shown, spread = [], []
    for done, w in enumerate(ws, start=1):
        noises = draw_noises(range(compared), sampler.model.G.noise_sizes)
        pixels = sampler.render(
            w.expand(compared, -1, -1), [noise.to(sampler.device) for noise in noises]
        )
        shown.append(pixels[:draws])
        spread.append(pixels.mean(axis=3).std(axis=0))
        progress("seeds", done, len(seeds))
    most = max(float(np.max(spread)), 1e-9)
    maps = [np.repeat((s / most * 255).round().astype(np.uint8)[..., None], 3, 2) for s in spread]
    rows = [np.concatenate([some, one[None]]) for some, one in zip(shown, maps, strict=True)]
    return labelled(
        np.concatenate(rows),
        columns=min(draws, compared) + 1,
        above=[*(f"noise {i}" for i in range(min(draws, compared))), f"spread to {most:.0f}"],
        beside=[str(seed) for seed in seeds],
    )


def noise_components(
    sampler: Sampler,
    seeds: Sequence[int],
    truncation: Truncation = PLAIN,
    *,
    label: int | None = None,
    progress: Progress = silent,
) -> Image.Image:
    """Show each seed with noise in all layers, in none, in the fine ones, in the coarse ones."""
    ws = sampler.ws(seeds, truncation, label)
    noises = sampler.noises("random", seeds)
    middle = (len(noises) + 1) // 2
    kinds = {
        "all layers": range(len(noises)),
        "none": range(0),
        "fine layers": range(middle, len(noises)),
        "coarse layers": range(middle),
    }
    columns = []
    for done, layers in enumerate(kinds.values(), start=1):
        some = [
            noise if at in layers else torch.zeros_like(noise) for at, noise in enumerate(noises)
        ]
        columns.append(sampler.render(ws, some))
        progress("kinds", done, len(kinds))
    return labelled(
        _by_rows(columns), columns=len(kinds), above=list(kinds), beside=list(map(str, seeds))
    )


def _by_rows(columns: Sequence[Pixels]) -> Pixels:
    """Turn columns of pictures into pictures row by row."""
    stacked = np.stack(columns, axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])
