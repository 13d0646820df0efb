"""Does ranking find what is odd? `make bench-rank`.

Photographs with planted defects of six kinds are published, a model is trained on them, and all
pictures are ordered: by its discriminator in several ways, and by what needs no training. Tables
say how low the planted ones lie. `--closing` trains again without the lowest by the best order of
a discriminator and by density, and beside that without as many at random.

Everything is kept below `.bench/rank/`, in folders named by what it depends on: a second start goes
on where the first was stopped. On the CPU pictures are 64×48, on a GPU 512×384 px.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import rank_plantings, rank_report, rank_scorers
from benchmarks.common import SCRATCH, Skipped, say
from benchmarks.rank_data import SOUND, Fact, Wanted, copy_without, prepare
from benchmarks.rank_report import ALL, Closing, Judged
from benchmarks.rank_runs import FOLDED, Trainings, generated_distances, write_json
from benchmarks.rank_scorers import DENSITY, ONE_D
from benchmarks.rank_statistics import Estimate, evaluate, shares
from training.data.select import fold_of
from training.folds import fold_plan

HOME: Final = SCRATCH / "rank"
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the outcome depends on."""

    wanted: Wanted
    preset: str
    kimg: float
    snapshots: int
    folds: int
    device: str
    closing: int
    cull: float
    generated: int
    samples: int

    @property
    def data(self) -> Path:
        """Folder of the pictures."""
        w = self.wanted
        name = f"{w.size[0]}x{w.size[1]}-{w.pictures}-{100 * w.share:.4g}%-{w.foreign.lower()}"
        return HOME / f"{name}-seed{w.seed}"

    @property
    def trainings(self) -> Trainings:
        """Runs on them."""
        folder = self.data / f"{self.preset}-{self.kimg:g}kimg"
        return Trainings(folder, self.preset, self.kimg, self.snapshots, self.device)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and write `.bench/rank.md`, `.json` and `.png`."""
    settings = _settings(arguments)
    began = time.monotonic()
    try:
        facts = prepare(settings.data, settings.wanted)
    except Skipped as skipped:
        say(str(skipped))
        return 0
    ranked = _rank(settings, facts)
    print(_save(settings, facts, ranked, []))
    closing: list[Closing] = []
    for one in _close(settings, facts, ranked):
        closing.append(one)
        _save(settings, facts, ranked, closing)  # hours of work: nothing waits for the end
    if closing:
        print(rank_report.closing_table(closing))
    say(f"done in {(time.monotonic() - began) / 60:.1f} min; also {SCRATCH / 'rank.png'}")
    return 0


@dataclass(frozen=True, slots=True)
class _Ranked:
    """What came of all rankers, and which of them are discriminators and nothing else."""

    judged: list[Judged]
    orders: dict[str, Scores]
    by_d: tuple[str, ...]
    curve: dict[float, dict[str, Estimate]]


def _rank(settings: Settings, facts: Sequence[Fact]) -> _Ranked:
    """Train, score, and hold every order against what was planted."""
    trainings, seed, device = settings.trainings, settings.wanted.seed, settings.device
    dirty = settings.data / "dirty"
    run = trainings.train("main", dirty, seed)
    folds = trainings.train_folds(dirty, seed, settings.folds) if settings.folds else []
    by_d = rank_scorers.discriminators(
        run, folds, seed=seed, snapshots=settings.snapshots, device=device
    )
    keys, kept = [fact.key for fact in facts], trainings.folder / "scores"
    rankers = [*rank_scorers.baselines(run, facts, seed=seed, device=device), *by_d]
    orders = {ranker.name: rank_scorers.taken(ranker, kept, keys) for ranker in rankers}
    last = by_d[-1].name
    orders[f"{last}, and density"] = rank_scorers.together([orders[last], orders[DENSITY]])
    say("drawing resamples")
    judged = [_judge(name, scores, facts, seed) for name, scores in orders.items()]
    curve = {}
    for aged in rank_scorers.by_age(run, seed=seed, device=device):
        scores = rank_scorers.taken(aged.ranker, kept, keys)
        figures = _judge(aged.ranker.name, scores, facts, seed).figures
        curve[aged.kimg] = {kind: figure["auroc"] for kind, figure in figures.items()}
    return _Ranked(judged, orders, tuple(ranker.name for ranker in by_d), curve)


def _judge(name: str, scores: Scores, facts: Sequence[Fact], seed: int) -> Judged:
    kinds = np.array([fact.kind for fact in facts])
    planted = kinds != SOUND
    figures = {ALL: evaluate(scores, planted, seed=seed)}
    for kind in rank_plantings.KINDS:
        these = (kinds == kind) | ~planted  # other kinds are neither right nor wrong
        figures[kind] = evaluate(scores[these], planted[these], seed=seed)
    return Judged(name, figures, shares(scores, planted))


def _close(settings: Settings, facts: Sequence[Fact], ranked: _Ranked) -> Iterator[Closing]:
    """Train on the set as it is, and without the lowest by D, at random, and by density."""
    if not settings.closing:
        return
    by_d = [one for one in ranked.judged if one.name in ranked.by_d]
    best = max(by_d, key=lambda one: one.figures[ALL]["auroc"].value).name
    yield from _trained_folds(settings, facts)
    count = round(settings.cull * len(facts))
    sets: dict[str, tuple[str, set[str]]] = {"the dirty set": ("main", set())}
    for by in ("random", best, DENSITY):
        rows = np.argsort(ranked.orders[by], kind="stable")[:count]
        name = f"without-{re.sub('[^0-9a-z]+', '-', by.lower())}-{settings.cull:g}"
        sets[f"without the lowest {count} by {by}"] = (name, {facts[row].key for row in rows})
    first = settings.wanted.seed
    for title, (name, left_out) in sets.items():
        for seed in range(first, first + settings.closing):
            yield _trained_again(settings, facts, title, name, left_out, seed)


def _trained_folds(settings: Settings, facts: Sequence[Fact]) -> Iterator[Closing]:
    """Measure the k-fold runs, each without a part drawn by chance: how far trainings lie apart."""
    k, seed = settings.folds, settings.wanted.seed
    for i, (name, _) in enumerate(fold_plan(FOLDED, k) if k else ()):
        left_out = {fact.key for fact in facts if fold_of(fact.key, k) == i}
        run = settings.trainings.folder / name
        yield _measured(settings, facts, f"without part {i + 1} of {k}", run, left_out, seed)


def _trained_again(
    settings: Settings, facts: Sequence[Fact], title: str, name: str, left_out: set[str], seed: int
) -> Closing:
    trainings = settings.trainings
    version = settings.data / "dirty"
    if left_out:
        version = trainings.folder / "versions" / name
        copy_without(settings.data / "dirty", version, left_out)
    run = trainings.train(
        name if seed == settings.wanted.seed else f"{name}-seed{seed}", version, seed
    )
    return _measured(settings, facts, title, run, left_out, seed)


def _measured(
    settings: Settings, facts: Sequence[Fact], title: str, run: Path, left_out: set[str], seed: int
) -> Closing:
    say(f"generating {settings.generated:,} pictures of {run.name}, {settings.samples} times")
    distances = generated_distances(
        run,
        settings.data / "clean",
        generated=settings.generated,
        seeds=range(settings.samples),
        device=settings.device,
    )
    kept = [fact for fact in facts if fact.key not in left_out]
    planted = sum(fact.kind != SOUND for fact in kept)
    return Closing(title, seed, len(kept), planted, distances)


def _counts(facts: Sequence[Fact]) -> dict[str, int]:
    return {
        kind: sum(fact.kind == kind for fact in facts) for kind in (*rank_plantings.KINDS, SOUND)
    }


def _head(settings: Settings, facts: Sequence[Fact]) -> str:
    height, width = settings.wanted.size
    planted = sum(fact.kind != SOUND for fact in facts)
    return (
        f"{len(facts):,} photographs at {height}×{width} px (height × width), {planted} of them "
        f"planted ({planted / len(facts):.1%}); preset {settings.preset}, {settings.kimg:g} kimg, "
        f"{settings.snapshots} snapshots, seed {settings.wanted.seed}, on {settings.device}. "
        "In brackets: 95%.\n\n"
    )


def _save(
    settings: Settings,
    facts: Sequence[Fact],
    ranked: _Ranked,
    closing: Sequence[Closing],
) -> str:
    text = _head(settings, facts) + rank_report.tables(
        ranked.judged, _counts(facts), ranked.curve, closing, baselines=(DENSITY, ONE_D)
    )
    values: dict[str, Any] = {
        "settings": asdict(settings),
        "counts": _counts(facts),
        "rankers": [one.numbers() for one in ranked.judged],
        "auroc_by_kimg": {
            kimg: {kind: [e.value, e.low, e.high] for kind, e in found.items()}
            for kimg, found in ranked.curve.items()
        },
        "closing": [asdict(one) for one in closing],
    }
    (SCRATCH / "rank.md").write_text(text, encoding="utf-8")
    write_json(SCRATCH / "rank.json", values)
    rank_report.save_sheet(
        SCRATCH / "rank.png",
        settings.data / "dirty",
        [fact.key for fact in facts],
        [fact.kind for fact in facts],
        ranked.orders,
    )
    return text


def _settings(arguments: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(description=__doc__)
    device = _device()
    small = device == "cpu"
    add = parser.add_argument
    add("--size", type=_size, default=(64, 48) if small else (512, 384), metavar="HxW", help="px")
    add("--pictures", type=int, default=3000, help="in the dirty set (default %(default)s)")
    add("--share", type=float, default=0.03, help="of them that are planted (default %(default)s)")
    add("--foreign", default="Shoes", help="label of the wrong category (default %(default)s)")
    add("--preset", default="tiny" if small else "stylegan2-ada", help="default: %(default)s")
    add("--kimg", type=float, default=6.0 if small else 200.0, help="default: %(default)s")
    add("--snapshots", type=int, default=6, help="of each run (default %(default)s)")
    add("--folds", type=int, default=3, help="0 leaves k-fold out (default %(default)s)")
    add("--seed", type=int, default=0, help="of all that is drawn")
    add(
        "--closing",
        type=int,
        nargs="?",
        const=1,
        default=0,
        metavar="SEEDS",
        help="train again after culling, from so many seeds (1 if no number is given)",
    )
    add("--cull", type=float, default=0.05, help="share that is culled (default %(default)s)")
    add("--generated", type=int, default=1000, help="pictures for FD-own (default %(default)s)")
    add("--samples", type=int, default=5, help="times they are made (default %(default)s)")
    asked = parser.parse_args(arguments)
    if asked.folds == 1 or asked.folds < 0:
        parser.error(f"--folds must be 0, or at least 2, got {asked.folds}")
    for name in ("kimg", "snapshots", "pictures"):
        if getattr(asked, name) <= 0:
            parser.error(f"--{name} must be > 0, got {getattr(asked, name)}")
    if asked.samples < 2 or asked.generated < 2 or not 0 < asked.cull < 1:
        parser.error("--samples and --generated must be at least 2, --cull between 0 and 1")
    wanted = Wanted(asked.size, asked.pictures, asked.share, asked.foreign, asked.seed)
    rest = {
        name: getattr(asked, name)
        for name in ("preset", "kimg", "snapshots", "folds", "closing", "cull")
    }
    return Settings(
        wanted=wanted, device=device, generated=asked.generated, samples=asked.samples, **rest
    )


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    if not cross or not height.isdecimal() or not width.isdecimal():
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH, as 64x48, got {text!r}")
    return int(height), int(width)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    raise SystemExit(main())
