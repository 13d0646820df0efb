"""From seeds to latents to pictures as people see them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.errors import SetupError
from training.latent.draws import NoiseKind, Truncation, draw_labels, draw_noises, draw_z
from training.models import Model
from training.watch.grids import to_pixels

Pixels = NDArray[np.uint8]

PLAIN: Final = Truncation()


class Sampler:
    """Makes pictures with the averaged generator of a model.

    Pictures are always made `batch` at a time, the last ones with others that are thrown away:
    libraries choose how to compute by the count, and round by it. So on a CPU, a seed gives the
    same bytes whatever is made beside it, at equal `batch` and threads.

    Parameters
    ----------
    model : Model
        On one device.
    batch : int
        Pictures at once.

    Attributes
    ----------
    model : Model
    device : torch.device
    num_ws, w_dim : int
    size : tuple of int
        Height and width of pictures, px.
    """

    def __init__(self, model: Model, batch: int = 8) -> None:
        if batch < 1:
            raise SetupError(f"`batch` must be at least 1, got {batch}")
        self.model, self.batch = model, batch
        self.device = model.G.w_avg.device
        self.num_ws, self.w_dim = model.G.num_ws, model.G.w_dim
        self.size = model.size

    @torch.no_grad()
    def w(
        self, seeds: Sequence[int], label: int | None = None, z_limit: float | None = None
    ) -> Tensor:
        """Give the w of each seed, not truncated, (N, w_dim).

        Parameters
        ----------
        seeds
            At least one.
        label
            Class, where the model has some; None: that of the seed.
        z_limit
            See `Truncation`.

        Raises
        ------
        SetupError
            If there is no such class.
        """
        found = []
        for part in _parts(seeds, self.batch):
            padded = _padded(part, self.batch)
            z = draw_z(padded, self.model.G.z_dim, z_limit)
            found.append(self.map(z, self.labels(padded, label))[: len(part)])
        return torch.cat(found)

    @torch.no_grad()
    def map(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Give the w of latents z, (N, z_dim) to (N, w_dim).

        Parameters
        ----------
        z
        labels
            As `labels` gives them: one for each latent, or one for all.
        """
        if labels is not None:
            labels = labels.expand(len(z)).to(self.device)
        w: Tensor = self.model.G.mapping(z.to(self.device), labels)
        return w

    def labels(self, seeds: Sequence[int], label: int | None = None) -> Tensor | None:
        """Give the class of each seed, or that which is asked for; None where there are none.

        Returns
        -------
        int64 Tensor of shape (N,), on the CPU, or None

        Raises
        ------
        SetupError
            If there is no such class.
        """
        classes = len(self.model.labels)
        if label is not None and not 0 <= label < classes:
            raise SetupError(f"`label` must be one of {classes} classes from 0, got {label}")
        if not classes:
            return None
        return draw_labels(seeds, classes) if label is None else torch.full((len(seeds),), label)

    def ws(
        self, seeds: Sequence[int], truncation: Truncation = PLAIN, label: int | None = None
    ) -> Tensor:
        """Give the ws of each seed, truncated, (N, num_ws, w_dim)."""
        return self.spread(self.w(seeds, label, truncation.z_limit), truncation)

    @torch.no_grad()
    def spread(self, w: Tensor, truncation: Truncation = PLAIN) -> Tensor:
        """Give every layer its w, (N, w_dim) to (N, num_ws, w_dim), truncated."""
        cutoff = truncation.cutoff
        if cutoff is not None and cutoff > self.num_ws:
            raise SetupError(
                f"`cutoff` must be at most {self.num_ws}, as many ws as a picture has, got {cutoff}"
            )
        return self.model.G.spread(w, truncation.psi, cutoff)

    def noises(self, kind: NoiseKind, seeds: Sequence[int]) -> list[Tensor]:
        """Give noise for one picture a seed; a tensor of shape (N, 1, h, w) for each layer."""
        G, n = self.model.G, len(seeds)
        if kind == "fixed":
            return G.fixed_noise(n)
        if kind == "none":
            return [torch.zeros(n, 1, h, w, device=self.device) for h, w in G.noise_sizes]
        return [noise.to(self.device) for noise in draw_noises(seeds, G.noise_sizes)]

    def render(self, ws: Tensor, noises: Sequence[Tensor] | None = None) -> Pixels:
        """Make pictures of ws.

        Parameters
        ----------
        ws : Tensor of shape (N, num_ws, w_dim)
        noises
            As `noises` gives them; None: fixed.

        Returns
        -------
        ndarray of shape (N, H, W, 3), uint8
            As people see them: never inverted.
        """
        noises = self.model.G.fixed_noise(len(ws)) if noises is None else noises
        made = []
        for at in range(0, len(ws), self.batch):
            rows = slice(at, at + self.batch)
            made.append(self._render(ws[rows], [noise[rows] for noise in noises]))
        return np.concatenate(made)

    def pictures(
        self,
        seeds: Iterable[int],
        truncation: Truncation = PLAIN,
        *,
        label: int | None = None,
        noise: NoiseKind = "fixed",
    ) -> Iterator[tuple[list[int], Pixels]]:
        """Yield seeds and their pictures, as many at a time as are made at once."""
        for part in _parts(seeds, self.batch):
            ws = self.ws(part, truncation, label)
            yield part, self._render(ws, self.noises(noise, part))

    def label(self, name: str | None) -> int | None:
        """Find a class by its name, or by its number.

        Raises
        ------
        SetupError
            If there is no such class.
        """
        known = self.model.labels
        if name is None:
            return None
        if name in known:
            return known.index(name)
        if name.isdecimal() and int(name) < len(known):
            return int(name)
        told = ", ".join(known) or "none: it was trained without"
        raise SetupError(f"the model has no class {name!r}; it has {told}")

    @torch.no_grad()
    def _render(self, ws: Tensor, noises: Sequence[Tensor]) -> Pixels:
        n = len(ws)
        rows = torch.arange(self.batch, device=self.device) % n
        images = self.model.G.synthesis(ws[rows], [noise[rows] for noise in noises])
        return to_pixels(images[:n], inverted=self.model.inverted)


def _parts(seeds: Iterable[int], size: int) -> Iterator[list[int]]:
    rest = iter(seeds)
    while part := list(islice(rest, size)):
        yield part


def _padded(seeds: Sequence[int], size: int) -> list[int]:
    return [seeds[i % len(seeds)] for i in range(size)]
