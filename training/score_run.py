"""Scores of a version's pictures by the discriminators of trained runs.

One run scores all pictures that its filters select, those it was trained on. The k runs of a k-fold
training score each picture once, by the run that has not seen it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.select import Selection
from training.data.stream import pictures
from training.errors import SetupError
from training.folds import combine
from training.judges import Judge, Say, in_order, newest_of
from training.runs.record import read_run
from training.score import Batch, Score, score_items
from training.shards import PublishedVersion
from training.trained_on import (
    AS_TRAINED,
    Progress,
    Source,
    mute,
    open_version,
    select_as_trained,
    silent,
)


@dataclass(frozen=True, slots=True)
class ItemScore:
    """What D says of one picture, higher for more real.

    Attributes
    ----------
    item : str
        Its key in the version.
    mean : float
        By one run its logit, mean over shuffles. By k runs in standard deviations from the mean of
        its part: two networks have neither origin nor unit in common.
    standard_error : float
        Of the mean over shuffles, in the same unit; NaN for a single shuffle.
    n : int
        Shuffles.
    fold : int or None
        Part that it is in, 1 to k; None where one run has scored all.
    """

    item: str
    mean: float
    standard_error: float
    n: int
    fold: int | None


@dataclass(frozen=True, slots=True)
class _Task:
    """What is scored, and how."""

    version: PublishedVersion
    selection: Selection
    shuffles: int
    seed: int
    batch: int
    chunk: int
    device: torch.device
    progress: Progress


def score_version(
    runs: Sequence[Path],
    *,
    source: Source = AS_TRAINED,
    newest: int = 1,
    shuffles: int = 8,
    seed: int = 0,
    batch: int = 32,
    chunk: int = 4096,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    say: Say = mute,
) -> Iterator[ItemScore]:
    """Score the pictures of a version that the runs' tags and labels select, each once.

    Everything is checked before this returns. Pictures are decoded as they are scored, and never
    held; of a k-fold training, the scores of one part are, since they are standardized.

    Parameters
    ----------
    runs
        Folder of one run, or of all k of a k-fold training, in any order.
    source
        Where the pictures are not where they were, or those of another version are meant.
    newest
        Newest whole snapshots of each run that judge together, as a `training.judges.Jury`.
    shuffles, seed, chunk
        See `training.score.score_items`. Equal seeds give equal scores.
    batch
        Pictures at once.
    device
        Where the networks run.
    progress
        Told of "scored", and see `training.trained_on.open_version`.
    say
        Told of damaged snapshots that were passed over.

    Yields
    ------
    ItemScore
        In the order of the version; of a k-fold training part by part.

    Raises
    ------
    SetupError
        If the runs are neither one nor a whole k-fold training (what is missing is named), a number
        is out of its range, or the version is not the one that they were trained on.
    SnapshotError
        If a run has fewer whole snapshots.
    ShardError
        If the version is damaged.
    DivergedError
        While scores are taken, if one is not finite.
    """
    if min(newest, shuffles, batch) < 1:
        raise SetupError(
            f"`newest`, `shuffles` and `batch` must be at least 1, "
            f"got {newest=}, {shuffles=}, {batch=}"
        )
    records = [read_run(run) for run in runs]
    judges = [newest_of(run, newest, say) for run in runs]
    ordered = in_order(judges)
    first = judges[0]
    version, index = open_version(records[0], source, progress)
    selection = select_as_trained(index, first.config.data, first.labels, fold=False)
    task = _Task(version, selection, shuffles, seed, batch, chunk, torch.device(device), progress)
    if len(ordered) == 1:
        return _plain(task, first)
    return _by_part(task, ordered)


def _plain(task: _Task, run: Judge) -> Iterator[ItemScore]:
    for score in _scores(task, run, np.arange(len(task.selection)), 0):
        yield ItemScore(score.item, score.mean, score.standard_error, score.n, None)


def _by_part(task: _Task, runs: Sequence[Judge]) -> Iterator[ItemScore]:
    parts = task.selection.index.folds(len(runs))[task.selection.indices]
    before = 0
    for fold, run in enumerate(runs, 1):
        rows = np.flatnonzero(parts == fold - 1)
        unseen = {score.item: score for score in _scores(task, run, rows, before)}
        before += len(rows)
        scores: Mapping[int, Mapping[str, Score]] = {
            other: unseen if other == fold else {} for other in range(1, len(runs) + 1)
        }
        for score in combine(scores).values():
            yield ItemScore(score.item, score.mean, score.standard_error, score.n, score.fold)


def _scores(task: _Task, run: Judge, rows: NDArray[np.int64], before: int) -> Iterator[Score]:
    turned = task.version.inverted != run.inverted
    batches = _batches(task, rows, turned=turned, before=before, workers=run.config.data.workers)
    yield from score_items(
        run.jury(task.device),
        batches,
        shuffles=task.shuffles,
        seed=task.seed,
        group=run.group,
        device=task.device,
        chunk=task.chunk,
    )


def _batches(
    task: _Task, rows: NDArray[np.int64], *, turned: bool, before: int, workers: int
) -> Iterator[Batch]:
    """Give pictures as D knows them: `turned` where this version is inverted otherwise."""
    selection, done = task.selection, 0
    found = pictures(
        task.version, selection.index, selection.indices[rows], batch=task.batch, workers=workers
    )
    for pixels in found:
        now = rows[done : done + len(pixels)]
        done += len(pixels)
        keys = [selection.index.key(int(number)) for number in selection.indices[now]]
        labels = None if selection.labels is None else torch.from_numpy(selection.labels[now])
        yield keys, 255 - pixels if turned else pixels, labels
        task.progress("scored", before + done, len(selection))
