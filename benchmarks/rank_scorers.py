"""What orders the pictures: discriminators of trained runs, and what needs no training.

All scores are higher for what is sounder. Each is kept beside the runs, so that a second start
takes none twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import say
from benchmarks.rank_data import Fact
from benchmarks.rank_runs import write_json

Scores = dict[str, float]

SHUFFLES: Final = 8
DENSITY: Final = "kNN density"
ONE_D: Final = f"one D, {SHUFFLES} shuffles"
NEWEST: Final = 3
"""Snapshots of one average, the newest ones: as `[rank]` has it by default."""

_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Ranker:
    """A way to order pictures.

    Attributes
    ----------
    name : str
        As the tables have it.
    slug : str
        Of the file that its scores are kept in.
    score : callable
        Gives a score to each key.
    """

    name: str
    slug: str
    score: Callable[[], Scores]


def baselines(run: Path, facts: Sequence[Fact], *, seed: int, device: str) -> list[Ranker]:
    """Give those that need no training; `run` tells which pictures."""
    return [
        Ranker("random", "random", partial(by_chance, facts, seed)),
        Ranker("sharpness", "sharpness", partial(by_sharpness, facts)),
        Ranker(DENSITY, "density", partial(by_density, run, device)),
    ]


def discriminators(
    run: Path, folds: Sequence[Path], *, seed: int, snapshots: int, device: str
) -> list[Ranker]:
    """Give D of one run by snapshots and shuffles, then of a k-fold training."""

    def ranker(name: str, slug: str, runs: Sequence[Path], newest: int, shuffles: int) -> Ranker:
        score = partial(
            by_discriminator, runs, newest=newest, shuffles=shuffles, seed=seed, device=device
        )
        return Ranker(name, slug, score)

    k, few = len(folds), min(NEWEST, snapshots)
    found = [
        ranker("one D, 1 shuffle", "d-1-1", [run], 1, 1),
        ranker(ONE_D, "d-1-8", [run], 1, SHUFFLES),
        ranker(f"D, mean of {few} snapshots", f"d-{few}-8", [run], few, SHUFFLES),
        ranker(f"D, mean of {snapshots} snapshots", f"d-{snapshots}-8", [run], snapshots, SHUFFLES),
    ]
    if not folds:
        return found
    return [
        *found,
        ranker(f"{k}-fold D", f"fold{k}-1-8", folds, 1, SHUFFLES),
        ranker(f"{k}-fold D, mean of {few} snapshots", f"fold{k}-{few}-8", folds, few, SHUFFLES),
    ]


@dataclass(frozen=True, slots=True)
class Aged:
    """A ranker by the discriminator of one snapshot."""

    kimg: float
    ranker: Ranker


def by_age(run: Path, *, seed: int, device: str) -> list[Aged]:
    """Give a ranker for each snapshot of a run, the oldest first."""
    from training.runs import snapshots

    found = []
    for name in snapshots.names(run / "snapshots"):
        score = partial(by_snapshot, run, name, seed=seed, device=device)
        kimg = float(name.removeprefix("kimg-"))
        found.append(Aged(kimg, Ranker(f"D at {kimg:g} kimg", f"d-at-{name}", score)))
    return found


def taken(ranker: Ranker, folder: Path, keys: Sequence[str]) -> NDArray[np.float64]:
    """Give the scores of a ranker in the order of `keys`, kept ones if there are any."""
    file = folder / f"{ranker.slug}.json"
    if file.is_file():
        scores = json.loads(file.read_text(encoding="utf-8"))
    else:
        say(f"scoring by {ranker.name}")
        scores = ranker.score()
        write_json(file, scores)
    return np.array([scores[key] for key in keys], np.float64)


def together(parts: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Give the mean of the places that a picture has in several orders, 0 to 1."""
    places = [np.argsort(np.argsort(part, kind="stable"), kind="stable") for part in parts]
    return np.asarray(np.mean(places, axis=0) / len(places[0]), np.float64)


def by_chance(facts: Sequence[Fact], seed: int) -> Scores:
    """Draw a number for each."""
    rng = np.random.default_rng(seed)
    return {fact.key: float(rng.random()) for fact in facts}


def by_sharpness(facts: Sequence[Fact]) -> Scores:
    """Take what the rule `blurred` judges by; what is too plain to judge lies lowest."""
    return {fact.key: fact.sharpness if fact.sharpness is not None else -1.0 for fact in facts}


def by_density(run: Path, device: str) -> Scores:
    """Take distances to neighbours among the pictures that a run was trained on."""
    from training.density import density_scores, sample_reference
    from training.encoder import OwnEncoder

    encoder = OwnEncoder().to(device)
    reference = sample_reference(_keyed(run), encoder, device=device)
    return dict(density_scores(_keyed(run), reference, encoder, device=device))


def by_discriminator(
    runs: Sequence[Path], *, newest: int, shuffles: int, seed: int, device: str
) -> Scores:
    """Score as `python -m training score` does."""
    from training.score_run import score_version

    found = score_version(
        runs, newest=newest, shuffles=shuffles, seed=seed, batch=_BATCH, device=device
    )
    return {score.item: score.mean for score in found}


def by_snapshot(run: Path, name: str, *, seed: int, device: str) -> Scores:
    """Score by the discriminator of one snapshot alone, an old one maybe."""
    from training.models import compared, load_model
    from training.score import score_items

    model = load_model(run / "snapshots" / name, device=device)
    batches = ((keys, pixels, None) for keys, pixels in _keyed(run))
    found = score_items(
        model.D,
        batches,
        shuffles=SHUFFLES,
        seed=seed,
        group=compared(model.config),
        device=device,
    )
    return {score.item: score.mean for score in found}


def _keyed(run: Path) -> Iterator[tuple[list[str], torch.Tensor]]:
    """Go through the keys and pictures of a run's version."""
    from training.config import DataConfig
    from training.data.select import select
    from training.runs.record import read_run
    from training.trained_on import AS_TRAINED, open_version, real_pictures

    version, index = open_version(read_run(run), AS_TRAINED)
    selection = select(index, DataConfig())
    done = 0
    for pixels in real_pictures(version, selection, batch=_BATCH):
        numbers = selection.indices[done : done + len(pixels)]
        done += len(pixels)
        yield [index.key(int(number)) for number in numbers], pixels
