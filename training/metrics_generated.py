"""What metrics ask of a generator: pictures, and pairs of pictures one small step apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from training.encoder import exact
from training.errors import SetupError
from training.watch.grids import to_pixels


class GeneratorLike(Protocol):
    """What is needed of `training.networks.generator.Generator`."""

    z_dim: int
    labels: int
    mapping: torch.nn.Module

    def __call__(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0) -> Tensor:
        """Make pictures, float32 (N, 3, H, W), about [-1, 1]."""

    def spread(self, w: Tensor, psi: float = 1.0) -> Tensor:
        """Give every layer its w."""

    def fixed_noise(self, n: int) -> list[Tensor]:
        """Give the same noise for all."""

    def synthesis(self, ws: Tensor, noises: list[Tensor]) -> Tensor:
        """Make pictures of ws."""

    def modules(self) -> Iterator[torch.nn.Module]:
        """Go through all modules."""


@dataclass(frozen=True)
class Generated:
    """Pictures of a generator, as people see them, the same ones every time.

    Parameters
    ----------
    G : Generator
        On `device`.
    psi : float
        Truncation. Figures of different truncations are not comparable.
    seed : int
        Of the latents and classes.
    batch : int
        Pictures at once; changes no picture beyond rounding.
    inverted : bool
        Whether it was trained on 255 - x; it is turned back.
    classes : sequence of float, optional
        How often each class is drawn; equally by default. With the counts of the real pictures
        the generated ones have their distribution.
    device : torch.device or str
    """

    G: GeneratorLike
    psi: float = 1.0
    seed: int = 0
    batch: int = 32
    inverted: bool = False
    classes: Sequence[float] | None = None
    device: torch.device | str = "cpu"

    @torch.no_grad()
    def __call__(self, count: int) -> Iterator[Tensor]:
        """Yield batches of uint8 (n, 3, H, W), `count` pictures in all, on the CPU."""
        draw = torch.Generator().manual_seed(self.seed)
        z, labels = self._latents(count, draw)
        for at in range(0, count, self.batch):
            rows = slice(at, at + self.batch)
            images = self.G(self._to(z[rows]), self._labels(labels, rows), psi=self.psi)
            pixels = to_pixels(images, inverted=self.inverted)
            yield torch.from_numpy(pixels).permute(0, 3, 1, 2)

    @torch.no_grad()
    def steps(self, count: int, epsilon: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pairs of pictures, a step of `epsilon` apart on straight lines between two w.

        Parameters
        ----------
        count : int
            Pairs in all.
        epsilon : float
            Share of the line that a step is; where on it, is drawn evenly.

        Yields
        ------
        tuple of Tensor of shape (n, 3, H, W), float32, about [0, 255]
            Not rounded: a step is far less than a grey level.

        Raises
        ------
        SetupError
            If the generator computes in 16 bit, which so small a step drowns in.
        """
        self._refuse_half()
        draw = torch.Generator().manual_seed(self.seed)
        (start, labels), (end, _) = self._latents(count, draw), self._latents(count, draw)
        where = torch.rand(count, 1, generator=draw)
        for at in range(0, count, self.batch):
            rows = slice(at, at + self.batch)
            c, t = self._labels(labels, rows), self._to(where[rows])
            with exact(self.device):
                w0, w1 = (self.G.mapping(self._to(z[rows]), c) for z in (start, end))
            yield self._images(torch.lerp(w0, w1, t)), self._images(torch.lerp(w0, w1, t + epsilon))

    def _latents(self, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """All at once, so that the batch changes nothing: 2 kB a picture."""
        z = torch.randn(count, self.G.z_dim, generator=draw)
        if not self.G.labels:
            return z, None
        weights = torch.tensor(self.classes or [1.0] * self.G.labels, dtype=torch.float64)
        if len(weights) != self.G.labels:
            raise SetupError(
                f"`classes` must be one number for each of {self.G.labels} classes, "
                f"got {len(weights)}"
            )
        return z, torch.multinomial(weights, count, replacement=True, generator=draw)

    def _labels(self, labels: Tensor | None, rows: slice) -> Tensor | None:
        return None if labels is None else self._to(labels[rows])

    def _images(self, w: Tensor) -> Tensor:
        with exact(self.device):
            ws = self.G.spread(w, self.psi)
            images = self.G.synthesis(ws, self.G.fixed_noise(len(w)))
        return ((-images if self.inverted else images) + 1) * 127.5

    def _refuse_half(self) -> None:
        settings = [value for module in self.G.modules() for value in vars(module).values()]
        types = [value for value in settings if isinstance(value, torch.dtype)]
        if torch.float16 in types or torch.bfloat16 in types:
            raise SetupError(
                "path lengths need a generator in 32 bit, this one computes in 16 bit; "
                "build it with half=None and load the same weights"
            )

    def _to(self, x: Tensor) -> Tensor:
        return x.to(self.device)
