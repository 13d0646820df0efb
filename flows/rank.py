"""Score every picture, by likeness to others and by a discriminator: people look at the ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

from prefect import flow
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from pydantic import BaseModel, ConfigDict, Field

from curation.scorers import Scorer
from curation.stages.ranking import figures, standing
from curation.stages.score_sheets import remove_sheets, sheet_paths, write_sheets
from curation.stages.scores import current_model, finish_scores, read_scores, unscored
from data_catalog import models
from data_catalog.errors import CatalogError
from data_catalog.models import Model
from flows import tasks
from flows.catalog import open_catalog
from flows.ranking import away, density, scoring
from flows.ranking.density import Sample, TooFewError
from flows.ranking.scoring import RankPart, RankPlan, Scored
from flows.settings import DatasetConfig
from flows.trainings.models import choose
from training.errors import SetupError

_P = TypeVar("_P")


class Ranking(BaseModel):
    """What a ranking by one scorer came to."""

    model_config = ConfigDict(protected_namespaces=())

    scorer: Scorer
    model: str = Field(description="of a discriminator its id; of density the name of its sample")
    scored: int = Field(description="items with a score by this model")
    new: int = Field(description="scored by this run")
    damaged: dict[str, str] = Field(description="items that could not be decoded, and why")
    left_out: int = Field(description="items of a class that the networks do not know")
    stability: float | None = Field(
        description="correlation with another ranking that is to be expected, 0 to 1"
    )
    standard_error: float | None = Field(description="of a score, mean over all items")
    low: int = Field(description="items that rules on low scores would find now")
    high: int = Field(description="items that rules on high scores would find now")
    pictures: dict[str, str] = Field(description="contact sheets, `lowest` and `highest`")


class RankSummary(BaseModel):
    """What a ranking came to.

    Attributes
    ----------
    rankings : list of Ranking
        One a scorer.
    notes : list of str
        What could not be done, but did not keep the rest from being done.
    seconds : float
        Wall time of the flow.
    """

    rankings: list[Ranking]
    notes: list[str] = []
    seconds: float


@flow(name="rank", flow_run_name="rank {config.dataset.name}")
def rank(config: DatasetConfig, model: str | None = None) -> RankSummary:
    """Score what has no score yet; a kill costs one partition at most.

    Parameters
    ----------
    model
        Id of a registered one; None: the current one, if there is any.

    Raises
    ------
    SetupError
        If the model cannot judge the recipe's pictures here, or a package is missing. Where it was
        not asked for by its id, and pictures are compared as well, that goes into the notes.
    CatalogError
        If there is no such model, none at all and nothing else to rank by, or the dataset is in
        use.
    TrainingError
        If snapshots are gone or damaged, or the network has diverged.
    """
    began = time.perf_counter()
    chosen = _chosen(config, model)
    scoring.check_packages()
    rankings, notes = [], []
    if chosen is not None:
        try:
            scoring.check(config, chosen)
        except SetupError as error:
            if model is not None or not config.rank.density:
                raise
            notes.append(str(error))
            chosen = None
    with open_catalog(config).lock("rank"):
        if config.rank.density:
            try:
                rankings.append(_ranked(config, by_density(config)))
            except TooFewError as few:
                notes.append(str(few))
        if chosen is not None:
            rankings.append(_ranked(config, by_model(config, chosen)))
    seconds = round(time.perf_counter() - began, 2)
    summary = RankSummary(rankings=rankings, notes=notes, seconds=seconds)
    show(summary)
    return summary


def _chosen(config: DatasetConfig, model: str | None) -> Model | None:
    """Find the model that judges; None where there is none, and none is needed."""
    if model is None and config.rank.density and models.current(open_catalog(config)) is None:
        return None
    return choose(config, model)


def rank_on_rebuild(config: DatasetConfig) -> tuple[int, list[str]]:
    """Score what is new in the midst of a rebuild, by whoever has ranked before or is registered.

    Returns
    -------
    new : int
        Items scored.
    notes : list of str
        Why there were none, or not all: the rebuild goes on without.
    """
    items: set[str] = set()
    notes: list[str] = []
    if not config.rank.on_rebuild:
        return 0, []
    for scorer, find in ((Scorer.DENSITY, _known_density), (Scorer.DISCRIMINATOR, _known_model)):
        try:
            work = find(config)
            if work is None:
                continue
            done = score_all(config, work)
            if done.items:
                _figures(config, work, redraw=True)
        except Exception as error:  # whatever it is, the other rules judge without scores
            notes.append(f"not ranked by {scorer}: {error}")
            continue
        items |= done.items
        notes += [f"not ranked by {scorer}: {item} {why}" for item, why in done.damaged.items()]
    return len(items), notes


def _known_model(config: DatasetConfig) -> Work | None:
    model = models.current(open_catalog(config))
    if model is None:
        return None
    scoring.check(config, model)
    return by_model(config, model)


def _known_density(config: DatasetConfig) -> Work | None:
    """Compare with the sample of the last ranking; None where there is none, or nothing is new."""
    catalog = open_catalog(config)
    name = current_model(catalog, config.recipe, Scorer.DENSITY) if config.rank.density else None
    if name is None or not unscored(catalog, config.recipe, name).num_rows:
        return None
    sample = density.read_sample(config)
    if sample is None or sample.name != name:
        raise CatalogError(
            "the sample that pictures were compared with is gone, or another one is half way; "
            "`nonesuch rank` sees to it"
        )
    return _comparing(config, sample)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be scored, by whom, and how a part of it is.

    Attributes
    ----------
    scorer : Scorer
    model : str
        Under what name scores are kept.
    plan : RankPlan
    score : callable
        Takes a part and its label; scores it and commits.
    away : callable
        Takes a part; scores it on a worker of a cluster, and commits nothing.
    """

    scorer: Scorer
    model: str
    plan: RankPlan
    score: Callable[[RankPart, str], Scored]
    away: Callable[[RankPart], Scored]


def by_model(config: DatasetConfig, model: Model) -> Work:
    """Plan what a model has not scored."""
    plan = tasks.find_unscored(config, model)
    score = partial(tasks.rank_partition, config, model)
    far = partial(away.score_by_model, away.for_workers(config), model)
    return Work(Scorer.DISCRIMINATOR, model.model, plan, score, far)


def by_density(config: DatasetConfig) -> Work:
    """Plan what has not been compared with the sample; draw one where it is wanted.

    Raises
    ------
    TooFewError
        If there are no two pictures to compare.
    """
    known = None
    with suppress(SetupError):  # a damaged one is drawn anew
        known = density.read_sample(config)
    plan = density.plan_sample(config, known)
    if plan is None:
        assert known is not None, "only one that is there can stand"
        return _comparing(config, known)
    if plan.parts and config.compute.runner == "dask":
        tasks.sample_on_cluster(config, plan.parts, _bar())
    else:
        for label, part in _told(plan.parts):
            tasks.sample_partition(config, part, label)
    return _comparing(config, density.keep_sample(config, plan))


def _comparing(config: DatasetConfig, sample: Sample) -> Work:
    plan = density.plan_density(config, sample.name)
    score = partial(tasks.compare_partition, config, sample)
    far = partial(away.score_by_density, away.for_workers(config), sample.name)
    return Work(Scorer.DENSITY, sample.name, plan, score, far)


@dataclass(slots=True)
class Done:
    """What was scored now: items, those that were damaged, and those of unknown classes."""

    left_out: int
    items: set[str] = field(default_factory=set)
    damaged: dict[str, str] = field(default_factory=dict)


def score_all(config: DatasetConfig, work: Work) -> Done:
    """Score what is new, here or on a cluster, and give each item its place."""
    done = Done(work.plan.left_out)
    try:
        for scored in _scored(config, work):
            done.items.update(scored.rows["item_id"].to_pylist())
            done.damaged |= scored.damaged
    finally:
        scoring.let_go()
    catalog = open_catalog(config)
    before = current_model(catalog, config.recipe, Scorer.DENSITY)
    finish_scores(catalog, config.recipe, work.model)
    if work.scorer is Scorer.DENSITY and before is not None and before != work.model:
        remove_sheets(catalog, before)  # its scores are gone, too
    return done


def _scored(config: DatasetConfig, work: Work) -> Iterator[Scored]:
    """Score one partition after the other, or let a cluster do it."""
    parts = work.plan.parts
    if parts and config.compute.runner == "dask":
        yield from tasks.rank_on_cluster(config, work.away, parts, _bar())
        return
    for label, part in _told(parts):
        yield work.score(part, label)


def _told(parts: Sequence[_P]) -> Iterator[tuple[str, _P]]:
    """Go through parts, each with its label; the run's page shows how far it has come."""
    tell = _bar() if parts else None
    for number, part in enumerate(parts, 1):
        yield f"{number} of {len(parts)}", part
        if tell is not None:
            tell(number / len(parts))


def _bar() -> Callable[[float], None]:
    """Put a bar on the run's page; what is given is told the share that is done."""
    bar = cast("UUID", create_progress_artifact(progress=0.0, key="rank-progress"))

    def tell(share: float) -> None:
        update_progress_artifact(bar, progress=100.0 * share)

    return tell


def _ranked(config: DatasetConfig, work: Work) -> Ranking:
    done = score_all(config, work)
    return Ranking(
        scorer=work.scorer,
        model=work.model,
        new=len(done.items),
        damaged=done.damaged,
        left_out=done.left_out,
        **_figures(config, work, redraw=bool(done.items)),
    )


def _figures(config: DatasetConfig, work: Work, *, redraw: bool) -> dict[str, Any]:
    """Sum the whole ranking up; draw its sheets where anything is new."""
    catalog = open_catalog(config)
    scores = read_scores(catalog, config.recipe, work.model)
    stay = standing(catalog, scores)
    paths = sheet_paths(work.model)
    if redraw or not all(catalog.root.exists(path) for path in paths.values()):
        pictures = write_sheets(catalog, config.recipe, work.model, stay)
    else:
        pictures = {name: catalog.root.address(path) for name, path in paths.items()}
    found = figures(work.scorer, scores, stay, config.rules)
    return {**asdict(found), "pictures": pictures}


def show(summary: RankSummary) -> None:
    """Put the outcome on the run's page: counts, and where the contact sheets are."""
    lines = ["| | |", "|-|-:|"]
    for found in summary.rankings:
        lines += [f"| {name} | {value} |" for name, value in lines_of(found)]
        for name, path in found.pictures.items():
            link = path if "://" in path else Path(path).as_uri()
            create_link_artifact(
                key=f"rank-{found.scorer}-{name}", link=link, link_text=f"the {name}"
            )
    lines += [f"| {note} | |" for note in summary.notes]
    create_markdown_artifact(key="rank-summary", markdown="\n".join(lines))


def lines_of(found: Ranking) -> list[tuple[str, str]]:
    """Give the figures of a ranking in words, for people."""
    lines = [
        (f"by {found.scorer}", found.model),
        ("scored", f"{found.scored:,}"),
        ("new", f"{found.new:,}"),
        ("low", f"{found.low:,}"),
    ]
    if found.scorer is Scorer.DISCRIMINATOR:
        lines.append(("high", f"{found.high:,}"))
    if found.stability is not None:
        lines.append(("stability", f"{found.stability:.3f}"))
    if found.standard_error is not None:
        lines.append(("standard error", f"{found.standard_error:.3g}"))
    if found.damaged:
        lines.append(("damaged", f"{len(found.damaged):,}"))
    if found.left_out:
        lines.append(("of unknown classes", f"{found.left_out:,}"))
    return lines
