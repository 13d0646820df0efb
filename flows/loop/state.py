"""What the loop looks at: versions, runs, models, scores, and its own notes. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curation.stages.scores import read_scores
from data_catalog import models
from data_catalog.catalog import Catalog
from data_catalog.versions import Version, list_versions, read_members
from flows.loop.notes import Begun, Declined, read_begun, read_declined
from flows.settings import DatasetConfig
from flows.trainings.runs import records
from training.errors import SetupError
from training.runs.record import RunRecord, is_alive, read_run


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the loop sees it."""

    record: RunRecord
    alive: bool

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.record.path.name

    @property
    def lost(self) -> bool:
        """Whether it ended without a word."""
        return self.record.status == "running" and not self.alive


@dataclass(frozen=True, slots=True)
class State:
    """All that decides what is due, but for what is new in a version.

    Attributes
    ----------
    versions : sequence of Version
        All that are published.
    runs : sequence of Run
        All in the folder of runs.
    begun : sequence of (Begun, Run or None)
        Trainings that have not ended in good order; None where no run has come of it yet.
    declined : mapping of str to Declined
        By the hash of the version.
    models : sequence of Model
        The current one first.
    ranked : bool
        Whether the current model's ranking came to its end; true where there is none, or where it
        was trained on pictures of another size.
    run_name, preset : str
        Of `[train]`.
    only : int or None
        The version that `[train]` names.
    """

    versions: Sequence[Version] = ()
    runs: Sequence[Run] = ()
    begun: Sequence[tuple[Begun, Run | None]] = ()
    declined: Mapping[str, Declined] = field(default_factory=dict)
    models: Sequence[models.Model] = ()
    ranked: bool = True
    run_name: str | None = None
    preset: str = ""
    only: int | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What is new in a version since the one that was trained on last.

    Attributes
    ----------
    decisions : int
        Items that people have decided in between.
    changed : float
        Items that came, went or look different, as a share of what there was; >= 0.
    """

    decisions: int
    changed: float


def read_state(config: DatasetConfig, catalog: Catalog) -> State:
    """Read what there is."""
    runs = [Run(record, is_alive(record)) for record in records(config, catalog)]
    by_path = {run.record.path: run for run in runs}
    begun = [(b, by_path.get(Path(b.run)) or _elsewhere(b)) for b in read_begun(catalog)]
    known = models.all_models(catalog)
    return State(
        versions=list_versions(catalog),
        runs=runs,
        begun=begun,
        declined=read_declined(catalog),
        models=known,
        ranked=_needs_nothing(config, catalog, known[0] if known else None),
        run_name=config.train.name,
        preset=config.train.preset,
        only=config.train.version,
    )


def count_news(catalog: Catalog, old: Version, new: Version) -> News:
    """Count what is new in a version.

    Of a split, decisions about items count that are in one of the two versions.
    """
    before, after = (read_members(v.path, ["item_id", "standard_hash"]) for v in (old, new))
    decided = _decided(catalog, old, new)
    if new.split is not None:
        decided &= {*before["item_id"].to_pylist(), *after["item_id"].to_pylist()}
    return News(len(decided), len(_differing(before, after)) / max(before.num_rows, 1))


def _differing(before: pa.Table, after: pa.Table) -> set[str]:
    """Give the items that came, went, or look different."""
    old, new = (
        set(zip(t["item_id"].to_pylist(), t["standard_hash"].to_pylist(), strict=True))
        for t in (before, after)
    )
    return {item for item, _ in old ^ new}


def _decided(catalog: Catalog, old: Version, new: Version) -> set[str]:
    """Give the items whose decisions do not count in one version, and do in the other."""
    since, until = (pa.scalar(_decided_until(v), pa.timestamp("us", tz="UTC")) for v in (old, new))
    at = pc.field("decided_at")
    rows = catalog.table("decisions").read(["item_id"], where=(at > since) & (at <= until))
    return set(rows["item_id"].to_pylist())


def _decided_until(version: Version) -> datetime:
    """Give when decisions were taken in: before the shards were written, which takes its time."""
    made: str = version.manifest["created"]
    return datetime.fromisoformat(version.manifest.get("decided_until", made))


def _elsewhere(begun: Begun) -> Run | None:
    """Give a run whose folder is not among the others; None where it has not begun to train."""
    try:
        record = read_run(Path(begun.run))
    except SetupError:
        return None
    return Run(record, is_alive(record))


def _needs_nothing(config: DatasetConfig, catalog: Catalog, model: models.Model | None) -> bool:
    """Tell whether a model's ranking came to its end: all its scores have their places."""
    size = (config.recipe.height, config.recipe.width)
    if model is None or (model.height, model.width) != size:
        return True
    scores = read_scores(catalog, config.recipe, model.model)
    if scores.num_rows:
        return int(scores["percentile"].null_count) == 0
    where = (pc.field("recipe") == config.recipe.id) & pc.is_valid(pc.field("pack"))
    return int(catalog.table("features").read(["item_id"], where=where).num_rows) == 0
