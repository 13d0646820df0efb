"""Scores by a discriminator: how real it finds each picture.

Minibatch standard deviation makes what D says of a picture depend on the pictures beside it, so one
pass in one order is partly chance. D's trunk works on each picture alone: it runs once, and only
the head is repeated, each time with other companions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.errors import DivergedError, SetupError
from training.watch.grids import to_tensor

Logits = NDArray[np.float64]
Batch = tuple[Sequence[str], Tensor, Tensor | None]

_HEAD_ROWS: Final = 512  # that the head takes at once, about: it widens features several times


class Scorer(Protocol):
    """What is asked of a discriminator; `training.networks.discriminator` has it."""

    def features(self, images: Tensor) -> Tensor:
        """Give (N, C, h, w) of (N, 3, H, W), each picture for itself."""

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Give (N,) logits; image i is compared with those of group i mod N/G."""


@dataclass(frozen=True, slots=True)
class Score:
    """What D says of one picture, higher for more real.

    Attributes
    ----------
    item : str
    mean : float
        Logit, over shuffles.
    standard_error : float
        Of the mean; NaN for a single shuffle.
    n : int
        Shuffles.
    """

    item: str
    mean: float
    standard_error: float
    n: int


def score_items(
    D: Scorer,
    batches: Iterable[Batch],
    *,
    shuffles: int = 8,
    seed: int,
    group: int,
    device: torch.device | str,
    chunk: int = 4096,
) -> Iterator[Score]:
    """Score pictures, in the order in which they come.

    Parameters
    ----------
    D
        On `device`, not in training.
    batches
        Names, pictures uint8 of shape (n, 3, H, W), and classes (n,) or None, of any n. Pictures as
        they were trained on: where the set was inverted, so are they (`PublishedVersion.samples`
        and `Stream` have done it), since D has seen no other.
    shuffles
        Passes of the head over each picture, each with companions drawn anew.
    seed
        Of the companions. Equal seeds give equal scores, whatever the sizes of the batches, but for
        rounding.
    group
        Pictures that minibatch standard deviation compares, as the network was built with.
    device
        That D is on.
    chunk
        Pictures among which companions are drawn, about. It bounds memory: features of less than
        twice as many are held, for a moment twice.

    Raises
    ------
    SetupError
        If a number is out of its range, or only some batches have classes.
    DivergedError
        If D gives a picture a score that is not finite.
    """
    chunks = shuffled_logits(
        D, batches, shuffles=shuffles, seed=seed, group=group, device=device, chunk=chunk
    )
    for items, logits in chunks:
        yield from summarize(items, logits)


def summarize(items: Sequence[str], logits: Logits) -> list[Score]:
    """Give mean and standard error of (shuffles, N) logits."""
    n = len(logits)
    means = logits.mean(0)
    errors = logits.std(0, ddof=1) / math.sqrt(n) if n > 1 else np.full(means.shape, math.nan)
    return [
        Score(item, float(mean), float(error), n)
        for item, mean, error in zip(items, means, errors, strict=True)
    ]


def shuffled_logits(
    D: Scorer,
    batches: Iterable[Batch],
    *,
    shuffles: int = 8,
    seed: int,
    group: int,
    device: torch.device | str,
    chunk: int = 4096,
) -> Iterator[tuple[list[str], Logits]]:
    """Give every shuffle's logits, (shuffles, n) for n pictures at once; see `score_items`."""
    panel = Panel(D, shuffles=shuffles, seed=seed, group=group, device=device, chunk=chunk)
    for batch in batches:
        yield from panel.add(batch)
    yield from panel.end()


class Panel:
    """Judges pictures as they come, and says so whenever enough have come to be compared.

    Parameters and errors are those of `score_items`.
    """

    def __init__(
        self,
        D: Scorer,
        *,
        shuffles: int = 8,
        seed: int,
        group: int,
        device: torch.device | str,
        chunk: int = 4096,
    ) -> None:
        if shuffles < 1 or group < 1 or chunk < 2 * group:
            raise SetupError(
                f"`shuffles` and `group` must be at least 1 and `chunk` at least twice the group, "
                f"got {shuffles=}, {group=}, {chunk=}"
            )
        self._D, self._shuffles, self._group, self._chunk = D, shuffles, group, chunk
        self._device = torch.device(device)
        self._generator = torch.Generator().manual_seed(seed)
        self._held = _Held()

    def add(self, batch: Batch) -> Iterator[tuple[list[str], Logits]]:
        """Take pictures; give the logits of those for which it was enough.

        Chunks are of about equal size: a small rest would have few companions to draw from.
        """
        self._held.add(_with_features(self._D, batch, self._device))
        while len(self._held.items) >= 2 * self._chunk:
            whole, self._held = self._held.split(self._chunk)
            yield self._judge(whole)

    def end(
        self, beside: Iterable[Batch] = (), fewest: int = 0
    ) -> Iterator[tuple[list[str], Logits]]:
        """Give the logits of all that are left.

        Parameters
        ----------
        beside
            Pictures that are nothing but companions, taken as far as they are needed.
        fewest
            Pictures to draw companions from, where there are so many: fewer would be compared with
            themselves, or again and again with the same.
        """
        if len(self._held.items) > self._chunk:
            half, self._held = self._held.split(len(self._held.items) // 2)
            yield self._judge(half)
        held, self._held = self._held, _Held()
        asked = len(held.items)
        if not asked:
            return
        more = iter(beside)
        while len(held.items) < fewest and (batch := next(more, None)) is not None:
            held.add(_with_features(self._D, batch, self._device))
        items, logits = self._judge(held.joined())
        yield items[:asked], logits[:, :asked]

    def _judge(self, held: _Held) -> tuple[list[str], Logits]:
        passes = [_pass(self._D, held, self._group, self._generator) for _ in range(self._shuffles)]
        logits = np.stack(passes)
        strange = np.flatnonzero(~np.isfinite(logits).all(0))
        if len(strange):
            more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
            raise DivergedError(
                f"scores must be finite; D's of {held.items[strange[0]]!r}{more} are not; "
                "take an older snapshot"
            )
        return held.items, logits


@dataclass
class _Held:
    """Features that wait for companions."""

    items: list[str] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)

    def add(self, other: _Held) -> None:
        if self.items and bool(self.labels) != bool(other.labels):
            raise SetupError("classes must be given for all batches or for none")
        self.items += other.items
        self.features += other.features
        self.labels += other.labels

    def joined(self) -> _Held:
        labels = [torch.cat(self.labels)] if self.labels else []
        return _Held(self.items, [torch.cat(self.features)], labels)

    def split(self, at: int) -> tuple[_Held, _Held]:
        whole = self.joined()
        return whole._part(slice(at)), whole._part(slice(at, None))

    def _part(self, rows: slice) -> _Held:
        # copied: a view would keep the whole
        features, labels = (
            [t[rows].clone() for t in part] for part in (self.features, self.labels)
        )
        return _Held(self.items[rows], features, labels)


def _with_features(D: Scorer, batch: Batch, device: torch.device) -> _Held:
    items, pixels, labels = batch
    if len(items) != len(pixels) or (labels is not None and len(labels) != len(items)):
        raise SetupError(
            f"a batch must hold as many names as pictures and classes, got {len(items)} names "
            f"and {len(pixels)} pictures"
        )
    with torch.no_grad():
        features = D.features(to_tensor(pixels.to(device, non_blocking=True))).float()
    return _Held(list(items), [features], [] if labels is None else [labels.to(device)])


def _pass(D: Scorer, held: _Held, group: int, generator: torch.Generator) -> Logits:
    """Give each picture's logit among companions that are drawn anew."""
    features, labels = held.features[0], held.labels[0] if held.labels else None
    rows = companions(len(held.items), group, generator)
    values = []
    for part in torch.split(rows, max(_HEAD_ROWS // group, 1)):
        # strided groups: image i is in group i mod the number of groups
        order = part.T.reshape(-1).to(features.device)
        with torch.no_grad():
            given = D.head(features[order], None if labels is None else labels[order])
        values.append(given.double().cpu().view(group, -1).T.reshape(-1))
    logits = np.empty(len(held.items))
    own = rows.reshape(-1)[: len(held.items)]
    logits[own.numpy()] = torch.cat(values).numpy()[: len(own)]
    return logits


def companions(n: int, group: int, generator: torch.Generator) -> Tensor:
    """Draw who is compared with whom.

    Returns
    -------
    Tensor of shape (groups, group), int64
        Row by row, the first n are all of 0 to n - 1 in random order. The last group is filled up
        with the first of them; none is in a group twice if n >= group.
    """
    order = torch.randperm(n, generator=generator)
    places = torch.arange(-(-n // group) * group) % n
    return order[places].view(-1, group)


def rank_stability(scores_by_shuffle: Logits) -> float:
    """Measure how far the order of the pictures is that of D, and not of chance.

    Parameters
    ----------
    scores_by_shuffle : ndarray of shape (shuffles, N)
        At least two of each.

    Returns
    -------
    float
        Spearman's rank correlation of two shuffles, mean over all pairs; 1 for equal orders. A
        shuffle in which all are equal has no order and counts as 0.
    """
    if scores_by_shuffle.ndim != 2 or min(scores_by_shuffle.shape) < 2:
        raise ValueError(
            "`scores_by_shuffle` must have at least 2 shuffles and 2 pictures, "
            f"got shape {scores_by_shuffle.shape}"
        )
    ranks = np.stack([_ranks(scores) for scores in scores_by_shuffle])
    ranks -= ranks.mean(1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1, keepdims=True)
    units = ranks / np.where(lengths > 0, lengths, 1)
    n = len(units)
    # the sum over all ordered pairs, without those of a shuffle with itself
    pairs = float((units.sum(0) ** 2).sum() - (units**2).sum())
    return pairs / (n * (n - 1))


def _ranks(values: Logits) -> Logits:
    """Give ranks; equal values share the mean of theirs."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Logits = (last - (counts - 1) / 2)[where]
    return ranks
