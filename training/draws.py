"""Everything random of a training step, drawn from a generator that (seed, step, phase) seeds.

Nothing else draws. So the state of randomness is two numbers, a resumed run draws what an
undisturbed one would have drawn, and networks and augmentation are pure functions. Draws are those
of the global batch; each process takes its rows, so that two processes train as one would.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """Which rows of the global batch.

    They are `index`, `index` + `of`, `index` + 2·`of`, … Strided, and not in blocks, so that the
    groups of minibatch standard deviation, which are strided as well, are the same in one process
    and in several.
    """

    index: int
    of: int

    def rows(self, tensor: Tensor) -> Tensor:
        """Give its rows of a global batch's tensor."""
        return tensor[self.index :: self.of]

    @property
    def slice(self) -> slice:
        """Its rows, as a slice."""
        return slice(self.index, None, self.of)


@dataclass(frozen=True, slots=True)
class Latents:
    """What `n` pictures are generated from.

    Attributes
    ----------
    z, z_mix : Tensor of shape (n, z_dim)
        Latents, and those that later layers take where two are mixed.
    cutoff : Tensor of shape (n,), int64
        Layer from which `z_mix` is taken; `num_ws` where nothing is mixed.
    labels : Tensor of shape (n,), int64, or None
    noises : list of Tensor of shape (n, 1, h, w)
    """

    z: Tensor
    z_mix: Tensor
    cutoff: Tensor
    labels: Tensor | None
    noises: list[Tensor]

    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Give all but the noises, in their order."""
        return self.z, self.z_mix, self.cutoff, self.labels


def generator(device: torch.device, seed: int, step: int, phase: str) -> torch.Generator:
    """Give a generator that depends on nothing but its arguments."""
    digest = hashlib.blake2b(f"{seed}/{step}/{phase}".encode(), digest_size=8).digest()
    made = torch.Generator(device)
    made.manual_seed(int.from_bytes(digest, "little") >> 1)
    return made


def draw_latents(
    n: int,
    part: Part,
    *,
    z_dim: int,
    num_ws: int,
    noise_sizes: Sequence[tuple[int, int]],
    mixing: float,
    classes: Tensor | None,
    rng: torch.Generator,
) -> Latents:
    """Draw for a global batch of `n`, and give one part of it.

    Parameters
    ----------
    mixing
        Probability of mixing two latents, from [0, 1].
    classes : Tensor of shape (m,), int64, or None
        Labels of the real pictures; fakes get labels with the same frequencies.
    """
    device = rng.device
    both = torch.randn(2, n, z_dim, device=device, generator=rng)
    chance = torch.rand(2, n, device=device, generator=rng)
    # Layers 1 … num_ws − 1 with equal chances; a network of one layer has nothing to mix.
    where = 1 + (chance[1] * max(num_ws - 1, 1)).long().clamp(max=max(num_ws - 2, 0))
    cutoff = torch.where(chance[0] < mixing, where, num_ws)
    labels = None
    if classes is not None:
        labels = classes[torch.randint(len(classes), (n,), device=device, generator=rng)]
    noises = [
        part.rows(torch.randn(n, 1, h, w, device=device, generator=rng)) for h, w in noise_sizes
    ]
    return Latents(
        part.rows(both[0]),
        part.rows(both[1]),
        part.rows(cutoff),
        None if labels is None else part.rows(labels),
        noises,
    )


def draw_direction(n: int, part: Part, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Draw the directions in picture space that path length is taken along: N(0, 1) / √(H·W)."""
    drawn = torch.randn(n, 3, *size, device=rng.device, generator=rng)
    return part.rows(drawn) / math.sqrt(size[0] * size[1])
