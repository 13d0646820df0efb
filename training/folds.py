"""Scores from networks that have not seen what they score.

A discriminator learns its pictures by heart, and finds those real. So k networks are trained, each
without one part of the pictures, and every picture is scored by the one that has not seen it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.data.select import fold_of
from training.errors import SetupError
from training.score import Score

_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class FoldScore:
    """What the network that has not seen a picture says of it.

    Attributes
    ----------
    item : str
    fold : int
        Part that the picture is in, 1 to k.
    mean : float
        In standard deviations from the mean of its part: logits of two networks have neither
        origin nor unit in common.
    standard_error : float
        Of the mean, in the same unit.
    n : int
        Shuffles.
    """

    item: str
    fold: int
    mean: float
    standard_error: float
    n: int


def fold_plan(run_name: str, k: int) -> list[tuple[str, str]]:
    """Give the name and the setting `data.fold` of each of k runs.

    Raises
    ------
    SetupError
        If k is less than 2.
    """
    if k < _FEWEST:
        raise SetupError(f"folds must be at least {_FEWEST}, got {k}; 5 is usual")
    return [(f"{run_name}-fold{i}of{k}", f"{i}/{k}") for i in range(1, k + 1)]


def combine(scores_by_fold: Mapping[int, Mapping[str, Score]]) -> dict[str, FoldScore]:
    """Put the folds' scores together.

    Parameters
    ----------
    scores_by_fold
        For each fold 1 to k, scores by the network that was trained without that part, by the key
        of the item. Scores of pictures that it has seen are left out.

    Returns
    -------
    dict
        One score for every item that any network has scored, fold by fold.

    Raises
    ------
    SetupError
        If a fold is missing, or a picture was not scored by the network that has not seen it.
    """
    k = len(scores_by_fold)
    if k < _FEWEST or set(scores_by_fold) != set(range(1, k + 1)):
        raise SetupError(f"folds must be 1 to k, at least {_FEWEST}, got {sorted(scores_by_fold)}")
    unseen = {fold: _unseen(scores_by_fold[fold], fold, k) for fold in range(1, k + 1)}
    combined = {
        item: score for fold, scores in unseen.items() for item, score in _standard(scores, fold)
    }
    every = {item for scores in scores_by_fold.values() for item in scores}
    missing = sorted(every - set(combined))
    if missing:
        raise SetupError(
            f"{missing[0]!r} and others, {len(missing)} in all, must be scored by the network that "
            "has not seen them; score the whole set with each fold's network"
        )
    return combined


def _unseen(scores: Mapping[str, Score], fold: int, k: int) -> dict[str, Score]:
    return {item: score for item, score in scores.items() if fold_of(item, k) == fold - 1}


def _standard(scores: Mapping[str, Score], fold: int) -> list[tuple[str, FoldScore]]:
    values = np.array([score.mean for score in scores.values()])
    if not len(values):
        return []
    middle, unit = float(values.mean()), float(values.std())
    unit = unit if unit > 0 and math.isfinite(unit) else 1.0  # all alike: none is above another
    return [
        (item, FoldScore(item, fold, (s.mean - middle) / unit, s.standard_error / unit, s.n))
        for item, s in scores.items()
    ]
