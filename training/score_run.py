"""Scores of a version's pictures by the discriminators of trained runs.

One run scores all pictures that its filters select, those it was trained on. The k runs of a k-fold
training score each picture once, by the run that has not seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import TrainingConfig
from training.data.select import Selection, parse_fold
from training.data.stream import pictures
from training.errors import SetupError, SnapshotError
from training.folds import combine
from training.models import compared, load_model
from training.networks import Discriminator
from training.runs import snapshots
from training.runs.record import RunRecord, read_run
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

Say = Callable[[str], None]


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


class Jury:
    """Discriminators of equal shape that judge as one: the mean of what they say.

    Parameters
    ----------
    members
        On one device, not in training.
    """

    def __init__(self, members: Sequence[Discriminator]) -> None:
        assert members
        self._members = members

    def features(self, images: Tensor) -> Tensor:
        """Give the features of all, one after another in the channels."""
        return torch.cat([D.features(images) for D in self._members], dim=1)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Give the mean logit, each of its own features."""
        parts = features.chunk(len(self._members), dim=1)
        said = [D.head(part, labels) for D, part in zip(self._members, parts, strict=True)]
        return torch.stack(said).mean(0)


@dataclass(frozen=True, slots=True)
class _Run:
    """A run and the snapshots that score; their networks are loaded when it is their turn."""

    record: RunRecord
    config: TrainingConfig
    version_hash: str
    inverted: bool
    labels: tuple[str, ...]
    chosen: tuple[Path, ...]

    @property
    def fold(self) -> str | None:
        return self.config.data.fold

    def facts(self) -> dict[str, Any]:
        """Give what must be the same in all runs of a k-fold training."""
        data = self.config.data.model_dump(include={"tags", "labels", "conditional"})
        return {
            "version_hash": self.version_hash,
            "inverted": self.inverted,
            **{f"data.{key}": value for key, value in data.items()},
        }


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
        Newest whole snapshots of each run that judge together, as a `Jury`.
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
    judges = [_choose(run, newest, say) for run in runs]
    ordered = _in_order(judges)
    first = judges[0]
    version, index = open_version(first.record, source, progress)
    selection = select_as_trained(index, first.config.data, first.labels, fold=False)
    task = _Task(version, selection, shuffles, seed, batch, chunk, torch.device(device), progress)
    if len(ordered) == 1:
        return _plain(task, first)
    return _by_part(task, ordered)


def _choose(run: Path, newest: int, say: Say) -> _Run:
    """Find the newest whole snapshots; they are loaded once now, for damage to come out early."""
    record = read_run(run)
    folder = run / "snapshots"
    chosen: list[Path] = []
    for name in reversed(snapshots.names(folder)):
        try:
            found = load_model(folder / name)
        except SnapshotError as error:
            say(f"passed over: {error}")
            continue
        chosen.append(folder / name)
        if len(chosen) == newest:
            return _Run(
                record,
                found.config,
                found.version_hash,
                found.inverted,
                found.labels,
                tuple(chosen),
            )
    raise SnapshotError(
        f"{run} must have {newest} whole snapshots, has {len(chosen)}; ask for fewer "
        "(--snapshots), or train it further"
    )


def _in_order(judges: Sequence[_Run]) -> list[_Run]:
    """Give one run, or those of a k-fold training from 1 to k."""
    if len(judges) == 1 and judges[0].fold is None:
        return list(judges)
    if not judges:
        raise SetupError("scores need the folder of a run, or those of a k-fold training")
    for judge in judges:
        if judge.fold is None:
            raise SetupError(
                f"several runs must be those of a k-fold training, {judge.record.path} has seen "
                "all pictures (`data.fold` is not set); score with it alone"
            )
    found = _by_fold(judges)
    _refuse_differences(judges)
    return [found[fold] for fold in sorted(found)]


def _by_fold(judges: Iterable[_Run]) -> dict[int, _Run]:
    found: dict[int, _Run] = {}
    numbers = set()
    for judge in judges:
        assert judge.fold is not None
        fold, k = parse_fold(judge.fold)
        numbers.add(k)
        if len(numbers) > 1:
            raise SetupError(
                f"runs must be of one k-fold training, got both {min(numbers)} and {max(numbers)} "
                "parts; give those of one"
            )
        if fold in found:
            raise SetupError(
                f"fold {judge.fold} must be left out by one run, is by {found[fold].record.path} "
                f"and {judge.record.path}; give one of them"
            )
        found[fold] = judge
    k = numbers.pop()
    missing = [f"{fold}/{k}" for fold in range(1, k + 1) if fold not in found]
    if missing:
        raise SetupError(
            f"a {k}-fold training must be given whole: the runs with data.fold "
            f"{', '.join(missing)} are missing; train them (--fold {missing[0]}) and give their "
            "folders, too"
        )
    return found


def _refuse_differences(judges: Sequence[_Run]) -> None:
    first = judges[0]
    for judge in judges[1:]:
        for key, value in judge.facts().items():
            expected = first.facts()[key]
            if value != expected:
                raise SetupError(
                    f"`{key}` must be the same in all runs of a k-fold training, is {expected!r} "
                    f"in {first.record.path} and {value!r} in {judge.record.path}; train one anew"
                )


def _plain(task: _Task, run: _Run) -> Iterator[ItemScore]:
    for score in _scores(task, run, np.arange(len(task.selection)), 0):
        yield ItemScore(score.item, score.mean, score.standard_error, score.n, None)


def _by_part(task: _Task, runs: Sequence[_Run]) -> Iterator[ItemScore]:
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


def _scores(task: _Task, run: _Run, rows: NDArray[np.int64], before: int) -> Iterator[Score]:
    turned = task.version.inverted != run.inverted
    batches = _batches(task, rows, turned=turned, before=before, workers=run.config.data.workers)
    yield from score_items(
        Jury([load_model(path, device=task.device).D for path in run.chosen]),
        batches,
        shuffles=task.shuffles,
        seed=task.seed,
        group=compared(run.config),
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
