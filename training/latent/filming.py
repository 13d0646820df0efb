"""From walks to the frames of a video: pictures of several walks, enlarged, on one sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from training.latent.draws import Truncation, draw_labels, draw_z
from training.latent.sampler import Pixels, Sampler
from training.latent.video import Enlarging, enlarged, factor_for
from training.latent.walks import Walk, closed_slerp, closed_spline
from training.trained_on import Progress

PAPER: Final = 208  # grey between pictures: seen beside white and beside black backgrounds
_TOGETHER: Final = 4  # frames of many pictures: more would have to be held
_GAP: Final = 4  # px between pictures; even, for colour has half the resolution


class Magnifier:
    """Enlarges pictures as a frame of so many rows and columns needs it.

    Parameters
    ----------
    size
        Height and width of a picture, px.
    cells
        Rows and columns.
    factor
        See `factor_for`.
    how
        See `enlarged`.

    Attributes
    ----------
    size : tuple of int
        Height and width of an enlarged picture, px.
    """

    def __init__(
        self, size: tuple[int, int], cells: tuple[int, int], factor: int | None, how: Enlarging
    ) -> None:
        self._how = how
        self._factor = factor_for((size[0] * cells[0], size[1] * cells[1]), factor)
        self.size = (size[0] * self._factor, size[1] * self._factor)

    def __call__(self, pictures: Pixels) -> Pixels:
        """Enlarge (N, H, W, 3)."""
        return enlarged(pictures, self._factor, self._how)


def spline_walk(
    sampler: Sampler, seeds: Sequence[int], cells: int, truncation: Truncation, label: int | None
) -> Walk:
    """Lead pictures through the w of their seeds and back, on splines.

    Parameters
    ----------
    sampler
    seeds
        The first picture's, then the next one's; as many for each.
    cells
        Pictures.
    truncation
    label
        Class, where the model has some; None: that of each seed.
    """
    w = sampler.w(seeds, label, truncation.z_limit)
    keys = w.reshape(cells, -1, sampler.w_dim).transpose(0, 1)

    def walk(at: Tensor) -> Tensor:
        ws = sampler.spread(closed_spline(keys, at).flatten(0, 1), truncation)
        return ws.reshape(len(at), cells, *ws.shape[1:])

    return walk


def sphere_walk(
    sampler: Sampler, seeds: Sequence[int], cells: int, truncation: Truncation, label: int | None
) -> Walk:
    """Lead pictures through the z of their seeds and back, on the sphere; see `spline_walk`.

    Where no class is given, a picture keeps that of its first seed.
    """
    z_dim = sampler.model.G.z_dim
    z = draw_z(seeds, z_dim, truncation.z_limit).reshape(cells, -1, z_dim)
    labels = classes_of(sampler, seeds[:: len(seeds) // cells], label)

    def walk(at: Tensor) -> Tensor:
        places = torch.stack([closed_slerp(keys, at) for keys in z], dim=1).flatten(0, 1)
        w = mapped(sampler, places, None if labels is None else labels.repeat(len(at)))
        ws = sampler.spread(w, truncation)
        return ws.reshape(len(at), cells, *ws.shape[1:])

    return walk


def mixing_walk(moving: Walk, still: Tensor, layers: slice) -> Walk:
    """Lead sources, and the pictures that take some layers from them.

    Parameters
    ----------
    moving
        Of C sources.
    still : Tensor of shape (R, num_ws, w_dim)
        Fixed pictures.
    layers
        What is taken from the sources.

    Returns
    -------
    Walk
        Of (R + 1) × C pictures: the sources, then each fixed picture with the layers of each.
    """

    def walk(at: Tensor) -> Tensor:
        sources = moving(at)[:, None]
        mixed = still[None, :, None].repeat(len(at), 1, sources.shape[2], 1, 1)
        mixed[..., layers, :] = sources[..., layers, :]
        return torch.cat([sources, mixed], dim=1).flatten(1, 2)

    return walk


def classes_of(sampler: Sampler, seeds: Sequence[int], label: int | None) -> Tensor | None:
    """Give a class for each seed, its own or the one asked for; None where there are none."""
    known = len(sampler.model.labels)
    if not known:
        return None
    return draw_labels(seeds, known) if label is None else torch.full((len(seeds),), label)


@torch.no_grad()
def mapped(sampler: Sampler, z: Tensor, labels: Tensor | None) -> Tensor:
    """Map z and classes to w, (N, w_dim)."""
    device = sampler.device
    w: Tensor = sampler.model.G.mapping(z.to(device), None if labels is None else labels.to(device))
    return w


def film(
    sampler: Sampler, walk: Walk, at: Tensor, noises: Sequence[Tensor], progress: Progress
) -> Iterator[Pixels]:
    """Yield the pictures of each frame, several frames made at once.

    Parameters
    ----------
    sampler
    walk
    at : Tensor of shape (F,)
        Turns.
    noises
        As `Sampler.noises` gives them, for the pictures of one frame: all frames have the same.
    progress
        Told of frames.

    Yields
    ------
    ndarray of shape (cells, H, W, 3), uint8
    """
    cells, done = len(noises[0]), 0
    for some in torch.split(at, _at_once(sampler.batch, cells)):
        ws = walk(some).flatten(0, 1)
        pictures = sampler.render(ws, [noise.repeat(len(some), 1, 1, 1) for noise in noises])
        for frame in pictures.reshape(len(some), cells, *pictures.shape[1:]):
            yield frame
            done += 1
            progress("frames", done, len(at))


def _at_once(batch: int, cells: int) -> int:
    """Give how many frames to make together, so that few of the pictures are thrown away."""
    return min(batch // math.gcd(batch, cells), max(batch // cells, _TOGETHER))


def sheet(cells: Pixels, *, headed: bool = False) -> Pixels:
    """Lay pictures out in rows and columns, with paper between them.

    Parameters
    ----------
    cells : ndarray of shape (R, C, H, W, 3), uint8
    headed
        Set the first row and the first column apart.

    Returns
    -------
    ndarray of shape (R × (H + gap) - gap, …, 3), uint8
        The gap is 4 px; twice as much behind what is set apart.
    """
    rows, columns, height, width = cells.shape[:4]
    laid = np.full((rows, height + _GAP, columns, width + _GAP, 3), PAPER, np.uint8)
    laid[:, :height, :, :width] = cells.swapaxes(1, 2)
    flat = laid.reshape(rows * (height + _GAP), columns * (width + _GAP), 3)[:-_GAP, :-_GAP]
    if not headed:
        return flat
    flat = np.insert(flat, [height] * _GAP, PAPER, axis=0)
    return np.insert(flat, [width] * _GAP, PAPER, axis=1)
