"""Directions in closed form, from the weights alone (https://arxiv.org/abs/2007.06600).

What a w does first is to become styles, by a dense layer A for each layer. The unit vectors that A
stretches most change styles most: the eigenvectors of AᵀA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from training.errors import SetupError
from training.latent.directions import Direction, DirectionSet
from training.latent.layer_groups import find_layers, layer_groups
from training.latent.moments import principal, std_along, w_moments
from training.latent.sampler import Sampler
from training.networks.generator import Generator, SynthesisLevel
from training.trained_on import Progress, silent

_RANGE: Final = 4.5  # std: w varies less along these than along its own axes
_SAMPLES: Final = 4096  # of w, for the scale of directions


def sefa(
    sampler: Sampler,
    *,
    layers: Sequence[str] | None = None,
    count: int = 5,
    samples: int = _SAMPLES,
    seed: int = 0,
    label: int | None = None,
    name: str = "sefa",
    progress: Progress = silent,
) -> DirectionSet:
    """Find the directions that change styles most.

    Each row of A, which makes the style of one channel, is brought to length 1, as the authors'
    program does: demodulation takes a common factor of the styles away again, so large weights say
    little of what is seen, and without it the layers with most weight decide alone.

    Parameters
    ----------
    sampler
    layers
        Groups, or ws like `2-5`, see `find_layers`; each gives directions of its own, that apply
        to them alone. None: all groups.
    count
        Directions of each group.
    samples, seed, label
        Ws that scales are measured with: how many, the first seed, their class.
    name
        Of the set.
    progress
        Told how many ws were drawn.

    Raises
    ------
    SetupError
        If there is no such group of layers or class, or `count` is out of range.
    """
    if not 1 <= count <= sampler.w_dim:
        raise SetupError(f"`count` must be from 1 to {sampler.w_dim}, got {count}")
    groups = layer_groups(sampler.num_ws) if layers is None else dict.fromkeys(layers)
    bounds = {group: find_layers(group, sampler.num_ws) for group in groups}
    moments = w_moments(sampler, samples, seed=seed, label=label, progress=progress)
    found: list[Direction] = []
    for group, (first, end) in bounds.items():
        vectors, shares = factorize(stacked_styles(sampler.model.G, first, end), count)
        scales = std_along(moments.covariance, vectors)
        found += [
            Direction(f"{group}-{i + 1}", vectors[i], (first, end), scales[i], _RANGE, shares[i])
            for i in range(len(vectors))
        ]
    model = sampler.model
    return DirectionSet(name, "sefa", model.name, sampler.w_dim, sampler.num_ws, tuple(found))


def factorize(A: Tensor, count: int) -> tuple[Tensor, list[float]]:
    """Give the directions that a matrix stretches most, after its rows are brought to length 1.

    Parameters
    ----------
    A : Tensor of shape (C, w_dim)
        Rows of zeros count for nothing.
    count

    Returns
    -------
    vectors : Tensor of shape (count, w_dim), float32
        Orthonormal, the most stretched first; the largest number of each is positive.
    shares : list of float
        Eigenvalue of each over the sum of all.
    """
    rows = torch.nn.functional.normalize(A.detach().double().cpu(), dim=1)
    vectors, values = principal(rows.T @ rows, count)
    return vectors.float(), (values[:count] / values.sum().clamp_min(1e-24)).tolist()


def stacked_styles(G: Generator, first: int, end: int) -> Tensor:
    """Stack the weights of all style layers that the ws from `first` to `end` - 1 go into.

    The picture layer of a resolution shares its w with the first convolution of the next one.

    Returns
    -------
    Tensor of shape (C, w_dim)
    """
    return torch.cat([weight for weights in style_weights(G)[first:end] for weight in weights])


def style_weights(G: Generator) -> list[list[Tensor]]:
    """Give, for each w of a picture, the weights (C, w_dim) of the style layers it goes into."""
    found: list[list[Tensor]] = [[] for _ in range(G.num_ws)]
    at = 0
    for level in G.synthesis.levels.values():
        assert isinstance(level, SynthesisLevel)
        for conv in level.convs:
            found[at].append(conv.style.weight)
            at += 1
        found[at].append(level.rgb.style.weight)
    return found
