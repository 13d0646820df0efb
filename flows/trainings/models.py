"""The models that may judge: registered when a training ends, listed, chosen.

Without Prefect and without torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from data_catalog import models
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, VersionNotFoundError
from data_catalog.models import Model
from data_catalog.versions import Version, load_version
from flows.catalog import open_catalog
from flows.settings import DatasetConfig
from flows.trainings.runs import models_folder, run_folder
from training.data.select import parse_fold
from training.errors import SetupError
from training.runs.folder import RunFolder
from training.runs.record import RUN_FILE, RunRecord, read_run

_FOLD: Final = re.compile(r"(?P<name>.+)-fold\d+of(?P<folds>\d+)")


class ModelSummary(BaseModel):
    """A registered model: what it was trained on, how far, and how well it does."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    model: str
    current: bool = Field(description="whether it is the one that judges")
    version: int | None
    kimg: float
    width: int
    height: int
    runs: tuple[str, ...] = Field(description="folders of its runs")
    snapshots: tuple[tuple[str, ...], ...] = Field(description="that judge together, of each run")
    usable: bool = Field(description="whether all these snapshots are still there")
    metrics: dict[str, float] = Field(description="of the newest snapshot of the first run")
    grid: str | None = Field(description="pictures that it made")
    registered_at: datetime


def register_run(
    config: DatasetConfig, runs: Sequence[Path], *, judges: bool = True
) -> Model | None:
    """Register a training that has come to its end; its model becomes the current one.

    A model that is known already changes nothing: a person may have chosen another since. One that
    was trained on a part of the set (a split, tags or labels) becomes the current one only where
    there is no other: `nonesuch models use` chooses it.

    Parameters
    ----------
    runs
        Folder of the run, or those of a k-fold training. Of one fold alone, the others are looked
        for beside it.
    judges
        False: it becomes the current one only where there is no other.

    Returns
    -------
    Model or None
        None where nothing may judge yet: a run has not finished, a fold is missing, nothing was
        saved, or its version is not of this dataset.
    """
    catalog = open_catalog(config)
    found = [read_run(run) for run in _with_other_folds(runs)]
    if not found or any(run.status != "finished" or not run.snapshots for run in found):
        return None
    try:
        version = load_version(catalog, found[0].version)
    except VersionNotFoundError:
        return None
    model = _model_of(config, catalog, found, version)
    if any(known.model == model.model for known in models.all_models(catalog)):
        return models.find(catalog, model.model)
    models.register(catalog, model, judges=judges and not _is_of_a_part(found[0], version))
    return model


def choose(config: DatasetConfig, name: str | None = None) -> Model:
    """Give a model by its id, or the current one.

    Raises
    ------
    CatalogError
        If there is none.
    """
    catalog = open_catalog(config)
    if name is not None:
        return models.find(catalog, name)
    model = models.current(catalog)
    if model is None:
        raise CatalogError(
            f"{catalog.root.url} has no model that could judge; `nonesuch train` registers one "
            "when it has come to its end"
        )
    return model


def use(config: DatasetConfig, name: str) -> Model:
    """Make a registered model the current one.

    Raises
    ------
    CatalogError
        If there is none of that id.
    """
    model = choose(config, name)
    models.register(open_catalog(config), model)
    return model


def list_models(config: DatasetConfig) -> list[ModelSummary]:
    """Give all models, the current one first."""
    catalog = open_catalog(config)
    known = models.all_models(catalog)
    return [
        _summary(model, folders_of(config, model), current=number == 0)
        for number, model in enumerate(known)
    ]


def folders_of(config: DatasetConfig, model: Model) -> list[Path]:
    """Give the folder of each run of a model."""
    folder = models_folder(config)
    return [run_folder(folder, run) for run in model.runs]


def _with_other_folds(runs: Sequence[Path]) -> list[Path]:
    """Give the runs; all of a k-fold training where one is given, none where one is missing."""
    config = RunFolder(runs[0]).read_config() if len(runs) == 1 else None
    if config is None or config.data.fold is None:
        return list(runs)
    _, k = parse_fold(config.data.fold)
    match = _FOLD.fullmatch(runs[0].name)
    if match is None or int(match["folds"]) != k:
        return []
    beside = [runs[0].with_name(f"{match['name']}-fold{i}of{k}") for i in range(1, k + 1)]
    return beside if all((run / RUN_FILE).is_file() for run in beside) else []


def _model_of(
    config: DatasetConfig, catalog: Catalog, runs: Sequence[RunRecord], version: Version
) -> Model:
    folder = models_folder(config, catalog)
    names = [_name(run.path, folder) for run in runs]
    newest = [tuple(reversed(run.snapshots[-config.rank.snapshots :])) for run in runs]
    match = _FOLD.fullmatch(runs[0].path.name)
    folds = match is not None and len(runs) > 1
    name = f"{match['name']}-{len(runs)}folds" if match and folds else runs[0].path.name
    return Model(
        model=f"{name}@{max(snapshots[0] for snapshots in newest)}",
        runs=tuple(names),
        snapshots=tuple(newest),
        version=version.version,
        version_hash=runs[0].version_hash,
        recipe=version.manifest["recipe_id"],
        height=runs[0].size[0],
        width=runs[0].size[1],
        kimg=min(run.kimg for run in runs),
        registered_at=datetime.now(UTC),
    )


def _name(run: Path, folder: Path) -> str:
    """Call a run so that it is found again, also where the whole dataset is moved."""
    return run.name if run.parent.resolve() == folder.resolve() else str(run.resolve())


def _is_of_a_part(run: RunRecord, version: Version) -> bool:
    """Tell whether a run knows only a part of the set."""
    config = RunFolder(run.path).read_config()
    chosen = config is not None and bool(config.data.tags or config.data.labels)
    return chosen or version.split is not None


def _summary(model: Model, runs: Sequence[Path], *, current: bool) -> ModelSummary:
    newest = model.snapshots[0][0]
    try:
        record: RunRecord | None = read_run(runs[0])
    except SetupError:
        record = None  # it was removed; what the table says remains
    metrics = record.metrics if record is not None else ()
    grid = runs[0] / "samples" / f"{newest}.png"
    places = [
        run / "snapshots" / name
        for run, names in zip(runs, model.snapshots, strict=True)
        for name in names
    ]
    return ModelSummary(
        model=model.model,
        current=current,
        version=model.version,
        kimg=model.kimg,
        width=model.width,
        height=model.height,
        runs=tuple(map(str, runs)),
        snapshots=model.snapshots,
        usable=all(place.is_dir() for place in places),
        metrics={m.name: m.value for m in metrics if m.snapshot == newest},
        grid=str(grid) if grid.is_file() else None,
        registered_at=model.registered_at,
    )
