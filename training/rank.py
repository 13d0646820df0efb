"""Scores of any pictures by the networks of a registered model, as they stream by.

Other than `training.score_run` this knows no published version: pictures come as people see them,
from wherever they are, some at a time, and may be new ones that no network was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.select import UNLABELLED, fold_of
from training.errors import SetupError
from training.judges import Judge, Jury, in_order, named
from training.score import Batch, Logits, Panel, summarize
from training.score_run import ItemScore

Pictures = tuple[Sequence[str], NDArray[np.uint8], NDArray[np.int64] | None]
"""Keys, pixels of shape (n, H, W, 3) as people see them, and numbers of classes (n,) or None."""

POOL: Final = 4
"""Groups that are there to draw companions from, at least, where there are pictures enough."""


class Judges:
    """The networks of a model; those of a fold are loaded when its first picture comes.

    Parameters
    ----------
    judges
        One, or all of a k-fold training, in any order.
    device
        Where networks run.

    Attributes
    ----------
    size : tuple of int
        Height and width of the pictures that they know, px.
    labels : tuple of str
        Names of the classes that they know; empty where they know none.
    folds : int
        Parts of a k-fold training; 1 where one judge judges all.

    Raises
    ------
    SetupError
        If they are neither one nor a whole k-fold training.
    """

    def __init__(self, judges: Sequence[Judge], device: torch.device | str = "cpu") -> None:
        self._judges = in_order(judges)
        self._juries: dict[int, Jury] = {}
        self.device = torch.device(device)
        first = self._judges[0]
        self.size, self.labels = first.size, first.labels
        self.folds = len(self._judges)

    def judge(self, fold: int) -> Judge:
        """Give who judges a part, from 0."""
        return self._judges[fold]

    def jury(self, fold: int) -> Jury:
        """Give the networks that judge a part, from 0.

        Raises
        ------
        SnapshotError
            If a snapshot is gone or damaged.
        """
        if fold not in self._juries:
            self._juries[fold] = self._judges[fold].jury(self.device)
        return self._juries[fold]

    def pool(self, fold: int) -> int:
        """Say how many pictures of a part, from 0, there should be to draw companions from."""
        return POOL * self._judges[fold].group

    def classes(self, labels: Sequence[str | None]) -> NDArray[np.int64]:
        """Give the numbers of the pictures' classes; -1 where the networks know none such."""
        numbers = {name: number for number, name in enumerate(self.labels)}
        none = numbers.get(UNLABELLED, -1)
        return np.array([none if x is None else numbers.get(x, -1) for x in labels], np.int64)


def load_judges(
    runs: Sequence[tuple[Path, Sequence[str]]], *, device: torch.device | str = "cpu"
) -> Judges:
    """Find the networks of a model.

    Parameters
    ----------
    runs
        Folder of each run, and the names of its snapshots that judge together, newest first.
    device
        Where networks run.

    Raises
    ------
    SetupError
        If the runs are neither one nor a whole k-fold training.
    SnapshotError
        If a snapshot is not there.
    """
    return Judges([named(run, names) for run, names in runs], device)


def score_pictures(
    judges: Judges,
    batches: Iterable[Pictures],
    *,
    companions: Iterable[Pictures] = (),
    shuffles: int = 8,
    seed: int = 0,
    chunk: int = 4096,
) -> Iterator[ItemScore]:
    """Score pictures, each by the networks that have not seen it where the model was trained so.

    Networks get pictures as they know them: inverted, where their run was trained on inverted ones.

    Parameters
    ----------
    judges
        By `load_judges`.
    batches
        Pictures, of any number. Keys are those of shards (`data_catalog.shards.key_of`): they say
        in which part a picture is.
    companions
        Pictures to be compared with, where fewer than four groups of a part come: few would be
        compared with themselves. Taken as far as they are needed, and never scored.
    shuffles, chunk
        See `training.score.score_items`.
    seed
        Of the companions: equal pictures with equal seeds have equal scores, but for rounding.

    Yields
    ------
    ItemScore
        As soon as enough pictures of a part were there. Means are logits, also those of folds: what
        has to be known to bring them to one unit is only known when all pictures are scored.

    Raises
    ------
    SetupError
        If pictures have another size than the networks were trained on, or classes are missing.
    SnapshotError, DivergedError
        If networks are damaged, or give what is no number.
    """
    panels: dict[int, Panel] = {}
    for fold, batch in _parts(judges, batches):
        if fold not in panels:
            panels[fold] = Panel(
                judges.jury(fold),
                shuffles=shuffles,
                seed=seed,
                group=judges.judge(fold).group,
                device=judges.device,
                chunk=chunk,
            )
        for found in panels[fold].add(batch):
            yield from _scores(judges, fold, *found)
    for fold, panel in panels.items():
        beside = (batch for part, batch in _parts(judges, companions) if part == fold)
        for found in panel.end(beside, judges.pool(fold)):
            yield from _scores(judges, fold, *found)


def _scores(judges: Judges, fold: int, items: Sequence[str], logits: Logits) -> Iterator[ItemScore]:
    number = fold + 1 if judges.folds > 1 else None
    for score in summarize(items, logits):
        yield ItemScore(score.item, score.mean, score.standard_error, score.n, number)


def _parts(judges: Judges, batches: Iterable[Pictures]) -> Iterator[tuple[int, Batch]]:
    """Give each part of the pictures to those that judge it, as they know pictures."""
    for keys, pixels, labels in batches:
        _check(judges, pixels, labels)
        parts = np.array([fold_of(key, judges.folds) for key in keys], np.int64)
        for fold in np.unique(parts):
            rows = np.flatnonzero(parts == fold).tolist()
            own = pixels if len(rows) == len(keys) else pixels[rows]
            inverted = judges.judge(int(fold)).inverted
            yield (
                int(fold),
                (
                    [keys[row] for row in rows],
                    _as_known(own, judges.device, inverted=inverted),
                    None if labels is None else torch.from_numpy(labels[rows]),
                ),
            )


def _as_known(pixels: NDArray[np.uint8], device: torch.device, *, inverted: bool) -> torch.Tensor:
    """Bring (n, H, W, 3) to (n, 3, H, W), where the networks are."""
    found = torch.from_numpy(pixels)
    if device.type == "cuda":  # copied while the one before is computed
        found = found.pin_memory().to(device, non_blocking=True)
    found = found.permute(0, 3, 1, 2).contiguous()
    return ~found if inverted else found  # 255 - x


def _check(judges: Judges, pixels: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> None:
    if pixels.shape[1:] != (*judges.size, 3):
        raise SetupError(
            f"pictures must be of shape (n, {judges.size[0]}, {judges.size[1]}, 3) as the networks "
            f"were trained on, got {pixels.shape}"
        )
    if (labels is None) == bool(judges.labels):
        raise SetupError(
            f"classes must be given to networks that know some, and to no others; these know "
            f"{', '.join(judges.labels) or 'none'}"
        )
