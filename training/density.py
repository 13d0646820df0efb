"""Density by neighbours: how usual a picture is among the others, without any training.

Features of our own encoder are standardized, and a picture's mean distance to its k nearest among a
sample of the set says how alone it stands. The sample is drawn by the hashes of the keys: the same
one whatever the order of the stream, its batches or the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.index import hash_of
from training.encoder import Encoder, exact
from training.errors import SetupError

Batch = tuple[Sequence[str], Tensor]
"""Keys, and pictures or features of them."""

NEIGHBOURS: Final = 10
MOST: Final = 20_000
"""Pictures of the sample, at most: 26 MB with their keys."""

_ROWS: Final = 256  # pictures whose distances are taken at once
_FLAT: Final = 1e-6  # spread below which a feature tells nothing


@dataclass(frozen=True, slots=True)
class Reference:
    """A sample of a set, in standardized features.

    Attributes
    ----------
    keys : tuple of str
        Of the sample's pictures, in the order of their hashes.
    points : Tensor of shape (m, d), float32
        Their features, less the mean of the set, over its standard deviation.
    mean, scale : Tensor of shape (d,), float64
        Of all pictures that came; the scale of a feature that never changes is 1.
    encoder : str
        Name of what features were taken with.
    """

    keys: tuple[str, ...]
    points: Tensor
    mean: Tensor
    scale: Tensor
    encoder: str

    def standardize(self, features: Tensor) -> Tensor:
        """Bring (n, d) features to the mean and the spread of the set, float32 on the CPU."""
        return _standardized(features, self.mean, self.scale)


@torch.no_grad()
def sample_reference(
    batches: Iterable[Batch],
    encoder: Encoder,
    *,
    most: int = MOST,
    device: torch.device | str = "cpu",
) -> Reference:
    """Take mean and spread of all pictures and keep the features of some.

    Parameters
    ----------
    batches
        Keys, each once, and pictures, uint8 of shape (n, 3, H, W); never held together.
    encoder
        On `device`.
    most
        Pictures in the sample, at most; of a smaller set all are.

    Raises
    ------
    SetupError
        If there are fewer than two pictures, or `most` is less than two.
    """
    encoded = ((keys, encoder(pixels.to(device)).cpu()) for keys, pixels in batches)
    return reference_of(encoded, encoder.name, most=most)


def reference_of(batches: Iterable[Batch], encoder: str, *, most: int = MOST) -> Reference:
    """Take mean and spread of features that are there already, and keep those of some pictures.

    Parameters
    ----------
    batches
        Keys, each once, and features of shape (n, d) on the CPU.
    encoder
        Name of what they were taken with.
    most
        As for `sample_reference`, and so are the errors.
    """
    if most < 2:
        raise SetupError(f"`most` must be at least 2 pictures, got {most}")
    moments, sample = _Moments(), _Sample(most)
    for keys, features in batches:
        moments.add(features)
        sample.add(keys, features)
    if moments.count < 2:
        raise SetupError(f"density needs at least 2 pictures, got {moments.count}")
    keys, features = sample.result()
    mean, scale = moments.result()
    return Reference(keys, _standardized(features, mean, scale), mean, scale, encoder)


@torch.no_grad()
def density_scores(
    batches: Iterable[Batch],
    reference: Reference,
    encoder: Encoder,
    *,
    k: int = NEIGHBOURS,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[str, float]]:
    """Score pictures by how near their neighbours are, in the order in which they come.

    Parameters
    ----------
    batches
        As for `sample_reference`; also other pictures than those.
    reference
        Taken with the same encoder.
    encoder
        On `device`.
    k
        Neighbours, as many as there are at most. A picture is no neighbour of its own.

    Yields
    ------
    tuple of str and float
        Key, and the mean distance to the neighbours times -1: at most 0, higher for more usual.

    Raises
    ------
    SetupError
        If `k` is less than 1, or the encoder is another one.
    """
    if encoder.name != reference.encoder:
        raise SetupError(
            f"the reference was taken with {reference.encoder}, scores are asked for with "
            f"{encoder.name}; take it anew"
        )
    encoded = ((keys, encoder(pixels.to(device))) for keys, pixels in batches)
    points = ((keys, reference.standardize(features)) for keys, features in encoded)
    yield from point_scores(points, reference, k=k, device=device)


def point_scores(
    batches: Iterable[Batch],
    reference: Reference,
    *,
    k: int = NEIGHBOURS,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[str, float]]:
    """Score points as `density_scores` does pictures.

    Parameters
    ----------
    batches
        Keys, and points of shape (n, d) as `Reference.standardize` gives them.
    """
    own = {key: row for row, key in enumerate(reference.keys)}
    others = reference.points.to(device)
    for keys, points in batches:
        itself = np.array([own.get(key, -1) for key in keys], np.int64)
        distances = neighbour_distances(points, others, itself, k)
        yield from zip(keys, (-distances).tolist(), strict=True)


def neighbour_distances(
    points: Tensor, reference: Tensor, itself: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """Give the mean distance of each point to its k nearest of the reference.

    Parameters
    ----------
    points : Tensor of shape (n, d)
    reference : Tensor of shape (m, d)
        Distances are taken on its device.
    itself : ndarray of shape (n,), int64
        Row of the reference that is the point itself and does not count; -1 where none is.
    k : int
        At least 1; where the reference has fewer, all of it is taken.

    Raises
    ------
    SetupError
        If `k` is less than 1, or a point has no neighbour at all.
    """
    if k < 1:
        raise SetupError(f"`k` must be at least 1 neighbour, got {k}")
    if len(reference) < 1 + int((itself >= 0).any()):
        raise SetupError("the reference must hold another picture than the one that is scored")
    parts = []
    for at in range(0, len(points), _ROWS):
        rows = slice(at, at + _ROWS)
        # no TF32: it would blur what is near
        with exact(reference.device):
            apart = torch.cdist(points[rows].to(reference.device), reference)
        own = torch.from_numpy(itself[rows]).to(reference.device)
        known = torch.nonzero(own >= 0).flatten()
        apart[known, own[known]] = torch.inf
        parts.append(_mean_nearest(apart, own >= 0, k))
    if not parts:
        return np.empty(0)
    return np.asarray(torch.cat(parts).double().cpu().numpy())


def _standardized(features: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return ((features.double().cpu() - mean) / scale).float()


def _mean_nearest(apart: Tensor, lacks_one: Tensor, k: int) -> Tensor:
    nearest = apart.topk(min(k, apart.shape[1]), dim=1, largest=False).values
    there = (apart.shape[1] - lacks_one.long()).clamp(max=k)
    return nearest.masked_fill(nearest.isinf(), 0).sum(1) / there


class _Moments:
    """Mean and standard deviation of a stream (Chan et al. 1983), in float64."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = torch.zeros(1, dtype=torch.float64)
        self._squares = torch.zeros(1, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        n = len(features)
        if not n:
            return
        x = features.double()
        mean = x.mean(0)
        shift, total = mean - self._mean, self.count + n
        within = (x - mean).square().sum(0)
        self._squares = self._squares + within + shift.square() * (self.count * n / total)
        self._mean = self._mean + shift * (n / total)
        self.count = total

    def result(self) -> tuple[Tensor, Tensor]:
        scale = (self._squares / (self.count - 1)).sqrt()
        return self._mean, torch.where(scale > _FLAT, scale, torch.ones_like(scale))


class _Sample:
    """Those with the lowest hashes: a uniform sample without replacement."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hashes: list[NDArray[np.uint64]] = []
        self._keys: list[str] = []
        self._features: list[Tensor] = []
        self._bound = np.uint64(2**64 - 1)  # the highest hash that may stay

    def add(self, keys: Sequence[str], features: Tensor) -> None:
        if len(keys) != len(features):
            raise SetupError(
                f"a batch must hold as many keys as pictures, got {len(keys)} and {len(features)}"
            )
        hashes = np.array([hash_of(key) for key in keys], np.uint64)
        stays = np.flatnonzero(hashes <= self._bound)
        self._hashes.append(hashes[stays])
        self._keys += [keys[int(row)] for row in stays]
        self._features.append(features[torch.from_numpy(stays)])
        if len(self._keys) > 2 * self._most:  # seldom, for it copies what is kept
            self._sort()

    def result(self) -> tuple[tuple[str, ...], Tensor]:
        self._sort()
        return tuple(self._keys), self._features[0]

    def _sort(self) -> None:
        if not self._hashes:
            self._features = [torch.empty(0, 0)]
            return
        hashes = np.concatenate(self._hashes)
        order = np.argsort(hashes, kind="stable")[: self._most]
        self._hashes = [hashes[order]]
        self._keys = [self._keys[row] for row in order]
        self._features = [torch.cat(self._features)[torch.from_numpy(order)]]
        if len(order) == self._most:
            self._bound = self._hashes[0][-1]
