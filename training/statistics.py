"""What metrics keep of a set of pictures: sums of features in float64, and some features.

Pictures come as a stream and are never held together. A file of them spares the real ones from
being encoded again.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.encoder import Encoder
from training.errors import SetupError

Report = Callable[[int], None]


@dataclass(frozen=True)
class Statistics:
    """Of a set of pictures.

    Attributes
    ----------
    count : int
        Pictures in it.
    total : Tensor of shape (d,), float64
        Sum of their features.
    products : Tensor of shape (d, d), float64
        Sum of the outer products of their features with themselves.
    kept : Tensor of shape (at most the limit, d), float32
        Features of a random part of them, in random order.
    """

    count: int
    total: Tensor
    products: Tensor
    kept: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean of the features, (d,)."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance of the features, (d, d)."""
        return (self.products - self.count * self.mean.outer(self.mean)) / (self.count - 1)


class Collector:
    """Takes features batch by batch; how they are cut into batches changes nothing but rounding.

    Parameters
    ----------
    keep : int
        Features that are kept, at most: a uniform sample without replacement.
    seed : int
        Of that sample.
    """

    def __init__(self, keep: int, seed: int = 0) -> None:
        self._count = 0
        self._total: Tensor | None = None
        self._products: Tensor | None = None
        self._sample = _Sample(keep, seed)

    def add(self, features: Tensor) -> None:
        """Take features of shape (n, d)."""
        exact = features.double()
        total, products = exact.sum(0), exact.T @ exact
        self._total = total if self._total is None else self._total + total
        self._products = products if self._products is None else self._products.add_(products)
        self._count += len(features)
        self._sample.add(features.float().cpu())

    def result(self) -> Statistics:
        """Return what was taken so far.

        Raises
        ------
        SetupError
            If it is less than two pictures.
        """
        if self._count < 2 or self._total is None or self._products is None:
            raise SetupError(
                f"metrics need at least 2 pictures, got {self._count}; ask for more, or filter less"
            )
        kept = self._sample.result()
        return Statistics(self._count, self._total.cpu(), self._products.cpu(), kept)


class _Sample:
    """A uniform sample of a stream: every feature draws a number, the lowest numbers stay."""

    def __init__(self, keep: int, seed: int) -> None:
        self._keep = keep
        self._rng = np.random.default_rng(seed)
        self._numbers: list[Tensor] = []
        self._features: list[Tensor] = []
        self._bound = 1.0  # the highest number that may stay

    def add(self, features: Tensor) -> None:
        numbers = torch.from_numpy(self._rng.random(len(features)))
        stays = numbers <= self._bound
        self._numbers.append(numbers[stays])
        self._features.append(features[stays])
        if sum(map(len, self._numbers)) > 2 * self._keep:  # seldom, for it copies what is kept
            self._sort()

    def result(self) -> Tensor:
        self._sort()
        return self._features[0]

    def _sort(self) -> None:
        numbers, order = torch.cat(self._numbers).sort()
        self._numbers = [numbers[: self._keep]]
        self._features = [torch.cat(self._features)[order[: self._keep]]]
        if len(numbers) >= self._keep > 0:
            self._bound = float(numbers[self._keep - 1])


def collect(
    batches: Iterable[Tensor],
    encoder: Encoder,
    *,
    keep: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    report: Report | None = None,
) -> Statistics:
    """Encode a stream of pictures.

    Parameters
    ----------
    batches : iterable of Tensor of shape (n, 3, H, W), uint8
    encoder : Encoder
        On `device`.
    keep, seed : int
        See `Collector`.
    device : torch.device or str
    report : callable, optional
        Told how many pictures are done, after every batch.
    """
    collector = Collector(keep, seed)
    done = 0
    for pixels in batches:
        collector.add(encoder(pixels.to(device)))
        done += len(pixels)
        if report is not None:
            report(done)
    return collector.result()


@dataclass(frozen=True)
class StatisticsCache:
    """Where statistics of real pictures are kept, and what they depend on.

    Parameters
    ----------
    folder : Path
        Made when something is kept.
    parts : mapping
        All that determines the pictures: hash of the version, and which of it were selected. The
        encoder and what is kept are added here.
    """

    folder: Path
    parts: Mapping[str, object]

    def get(
        self, encoder: Encoder, *, keep: int, seed: int, make: Callable[[], Statistics]
    ) -> Statistics:
        """Return what is kept under the same key, or make and keep it."""
        key = self._key(encoder, keep=keep, seed=seed)
        path = self.folder / f"real-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
        found = _read(path, key)
        if found is not None:
            return found
        made = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(path, key, made)
        return made

    def _key(self, encoder: Encoder, **numbers: int) -> str:
        parts = {**self.parts, "encoder": encoder.name, **numbers}
        return "\n".join(f"{name}={parts[name]!r}" for name in sorted(parts))


def _read(path: Path, key: str) -> Statistics | None:
    """Statistics of a file; None if there is no such file, or it is damaged or of another key."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            tensors = (torch.from_numpy(file[name]) for name in ("total", "products", "kept"))
            return Statistics(int(file["count"]), *tensors)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, key: str, statistics: Statistics) -> None:
    """Write under a temporary name and rename: readers see all of it or nothing."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            np.savez(
                stream,
                key=np.array(key),
                count=np.array(statistics.count),
                total=statistics.total.numpy(),
                products=statistics.products.numpy(),
                kept=statistics.kept.numpy(),
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
