"""Videos of a trained model: pictures that walk, styles that mix, a circle with even steps.

All of them loop: after the last frame comes the first. Noise stands still, so that nothing moves
but what the walk moves. The montage of a training is in `training.latent.montage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from training.errors import SetupError
from training.latent.clip_options import DEFAULTS, Clip, ClipOptions
from training.latent.filming import (
    PAPER,
    Magnifier,
    film,
    mixing_walk,
    sheet,
    sheet_size,
    sphere_walk,
    spline_walk,
)
from training.latent.layer_groups import find_layers
from training.latent.sampler import Pixels, Sampler
from training.latent.steps import BAND, ROUNDS, equal_steps, measure_walk
from training.latent.video import check_video, write_video
from training.latent.walks import Circle, turns
from training.trained_on import Progress, silent

Space = Literal["w", "z"]
"""Where walks go through keys: `w`, on a spline; `z`, from key to key on the sphere."""

_MOST: Final = 64  # rows, columns, keys: more are not seen


def interpolation_grid(
    sampler: Sampler,
    path: Path,
    options: ClipOptions = DEFAULTS,
    *,
    rows: int = 3,
    columns: int = 4,
    keys: int = 4,
    space: Space = "w",
    progress: Progress = silent,
) -> Clip:
    """Film pictures side by side, each on a closed walk of its own.

    Parameters
    ----------
    sampler
    path
        Of the video.
    options
    rows, columns
        Of pictures.
    keys
        Seeds that each picture passes; picture i those from `options.seed` + i × `keys` on.
    space
    progress
        Told of frames.

    Raises
    ------
    SetupError
        If something cannot be made.
    """
    _check(rows=rows, columns=columns, keys=keys)
    shown = _magnifier(sampler, path, options, rows, columns)
    cells = rows * columns
    seeds = range(options.seed, options.seed + cells * keys)
    lead = spline_walk if space == "w" else sphere_walk
    walk = lead(sampler, seeds, cells, options.truncation, options.label)
    noises = sampler.noises(options.noise, seeds[:cells])

    def frames() -> Iterator[Pixels]:
        for pictures in film(sampler, walk, turns(options.frames), noises, progress):
            yield sheet(shown(pictures).reshape(rows, columns, *shown.size, 3))

    return _written(path, frames(), options)


def style_mixing(
    sampler: Sampler,
    path: Path,
    options: ClipOptions = DEFAULTS,
    *,
    layers: str = "coarse",
    rows: int = 3,
    columns: int = 4,
    keys: int = 4,
    progress: Progress = silent,
) -> Clip:
    """Film what some layers decide: the pictures of a column take them from a moving source.

    The first column shows the fixed pictures, the first row the sources; in between each picture
    has the chosen layers of its source, all others of its fixed one. `coarse` layers decide shape,
    `fine` ones colour (https://arxiv.org/abs/1812.04948, fig. 3).

    Parameters
    ----------
    sampler
    path
        Of the video.
    options
    layers
        See `find_layers`.
    rows
        Fixed pictures; their seeds come first.
    columns
        Sources.
    keys
        Seeds that each source passes.
    progress
        Told of frames.

    Raises
    ------
    SetupError
        If something cannot be made.
    """
    _check(rows=rows, columns=columns, keys=keys)
    chosen = find_layers(layers, sampler.num_ws)
    shown = _magnifier(sampler, path, options, rows + 1, columns + 1, headed=True)
    seeds = range(options.seed, options.seed + rows + columns * keys)
    still = sampler.ws(seeds[:rows], options.truncation, options.label)
    moving = spline_walk(sampler, seeds[rows:], columns, options.truncation, options.label)
    walk = mixing_walk(moving, still, chosen)
    noises = sampler.noises(options.noise, seeds[:rows])
    # A row has the noise of its fixed picture; that of the sources is the first one's.
    noise_of = torch.tensor([0, *range(rows)]).repeat_interleave(columns)
    aside = shown(sampler.render(still, noises))

    def frames() -> Iterator[Pixels]:
        cells = np.full((rows + 1, columns + 1, *shown.size, 3), PAPER, np.uint8)
        cells[1:, 0] = aside
        at = turns(options.frames)
        for pictures in film(sampler, walk, at, noises, progress, noise_of=noise_of):
            cells[:, 1:] = shown(pictures).reshape(rows + 1, columns, *shown.size, 3)
            yield sheet(cells, headed=True)

    return _written(path, frames(), options)


def circle(
    sampler: Sampler,
    path: Path,
    options: ClipOptions = DEFAULTS,
    *,
    band: float = BAND,
    rounds: int = ROUNDS,
    progress: Progress = silent,
) -> Clip:
    """Film a walk round a circle in z that changes what is seen equally from frame to frame.

    Parameters
    ----------
    sampler
    path
        Of the video.
    options
    band, rounds
        See `equal_steps`.
    progress
        Told of measured pictures, round by round, then of frames.

    Returns
    -------
    Clip
        With `before` and `after`, largest step / mean step of equal angles and of the video, and
        `rounds`.

    Raises
    ------
    SetupError
        If something cannot be made.
    """
    count, seed = options.frames, options.seed
    shown = _magnifier(sampler, path, options, 1, 1)
    around = Circle.of_seed(seed, sampler.model.G.z_dim)
    label = sampler.labels([seed], options.label)

    def walk(at: Tensor) -> Tensor:
        return sampler.spread(sampler.map(around.z(at), label), options.truncation)[:, None]

    noises = sampler.noises(options.noise, [seed])
    measure = measure_walk(sampler, walk, noises, progress)
    found = equal_steps(measure, count, band=band, rounds=rounds)
    frames = (shown(one)[0] for one in film(sampler, walk, found.turns, noises, progress))
    numbers = {"before": found.before, "after": found.after, "rounds": found.rounds}
    return _written(path, frames, options, numbers)


def _magnifier(
    sampler: Sampler,
    path: Path,
    options: ClipOptions,
    rows: int,
    columns: int,
    *,
    headed: bool = False,
) -> Magnifier:
    """Choose how pictures are enlarged; refuse what cannot be written, before any is made."""
    shown = Magnifier(sampler.size, (rows, columns), options.scale, options.enlarging)
    check_video(path, sheet_size(shown.size, rows, columns, headed=headed))
    return shown


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if not 1 <= count <= _MOST:
            raise SetupError(f"`{name}` must be 1 to {_MOST}, got {count}; try 4")


def _written(
    path: Path,
    frames: Iterable[Pixels],
    options: ClipOptions,
    numbers: Mapping[str, float] | None = None,
) -> Clip:
    done = write_video(path, frames, options.encoding)
    return Clip(done.path, done.frames, options.encoding.fps, done.size, numbers or {})
