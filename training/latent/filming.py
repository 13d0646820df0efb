"""From walks to the frames of a video: pictures of several walks, enlarged, on one sheet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from training.latent.draws import Truncation, draw_z
from training.latent.layout import GREY
from training.latent.looks import mix
from training.latent.sampler import Pixels, Sampler
from training.latent.video import Enlarging, enlarged, factor_for
from training.latent.walks import Walk, closed_slerp, closed_spline
from training.trained_on import Progress

PAPER: Final = GREY[0]
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
    labels = sampler.labels(seeds[:: len(seeds) // cells], label)

    def walk(at: Tensor) -> Tensor:
        places = torch.stack([closed_slerp(keys, at) for keys in z], dim=1)
        own = None if labels is None else labels.repeat(len(at))
        ws = sampler.spread(sampler.map(places.flatten(0, 1), own), truncation)
        return ws.reshape(len(at), cells, *ws.shape[1:])

    return walk


def mixing_walk(moving: Walk, still: Tensor, layers: tuple[int, int]) -> Walk:
    """Lead sources, and the pictures that take some layers from them.

    Parameters
    ----------
    moving
        Of C sources.
    still : Tensor of shape (R, num_ws, w_dim)
        Fixed pictures.
    layers
        What is taken from the sources, see `mix`.

    Returns
    -------
    Walk
        Of (R + 1) × C pictures: the sources, then each fixed picture with the layers of each.
    """

    def walk(at: Tensor) -> Tensor:
        sources = moving(at)[:, None]
        mixed = mix(still[:, None], sources, layers)
        return torch.cat([sources, mixed], dim=1).flatten(1, 2)

    return walk


def film(
    sampler: Sampler,
    walk: Walk,
    at: Tensor,
    noises: Sequence[Tensor],
    progress: Progress,
    *,
    noise_of: Tensor | None = None,
) -> Iterator[Pixels]:
    """Yield the pictures of each frame; no more are held than of one, and those made at once.

    Parameters
    ----------
    sampler
    walk
    at : Tensor of shape (F,)
        Turns.
    noises
        As `Sampler.noises` gives them: all frames have the same.
    progress
        Told of frames.
    noise_of : int64 Tensor of shape (cells,), or None
        Which of them each picture of a frame has; None: each its own.

    Yields
    ------
    ndarray of shape (cells, H, W, 3), uint8
    """
    chosen = torch.arange(len(noises[0])) if noise_of is None else noise_of
    cells = len(chosen)
    frames = torch.split(at, max(sampler.batch // cells, 1))
    ws = _dealt((walk(some).flatten(0, 1) for some in frames), sampler.batch)
    pictures = _dealt(_rendered(sampler, ws, noises, chosen), cells)
    for done, frame in enumerate(pictures, start=1):
        yield frame.numpy()
        progress("frames", done, len(at))


def _rendered(
    sampler: Sampler, ws: Iterable[Tensor], noises: Sequence[Tensor], chosen: Tensor
) -> Iterator[Tensor]:
    made = 0
    for part in ws:
        own = chosen[torch.arange(made, made + len(part)) % len(chosen)].to(noises[0].device)
        yield torch.from_numpy(sampler.render(part, [noise[own] for noise in noises]))
        made += len(part)


def _dealt(parts: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Deal rows out anew, `size` at a time; the last ones may be fewer."""
    held: list[Tensor] = []
    count = 0
    for part in parts:
        rest = part
        while count + len(rest) >= size:
            taken = size - count
            yield torch.cat([*held, rest[:taken]])
            held, count, rest = [], 0, rest[taken:]
        if len(rest):
            held.append(rest)
            count += len(rest)
    if held:
        yield torch.cat(held)


def sheet_size(size: tuple[int, int], rows: int, columns: int, *, headed: bool) -> tuple[int, int]:
    """Give the height and width of a `sheet` of pictures of this height and width, px."""
    apart = (0 if headed else -1) * _GAP
    return rows * (size[0] + _GAP) + apart, columns * (size[1] + _GAP) + apart


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
