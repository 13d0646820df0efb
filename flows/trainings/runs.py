"""Where a dataset's runs are, and how far each has come. Without Prefect and without torch."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from data_catalog.catalog import Catalog
from flows.catalog import open_catalog
from flows.settings import ConfigError, DatasetConfig
from flows.trainings.settings import RUN_NAME
from training.errors import SetupError
from training.runs.record import RunRecord, is_alive, list_runs

FOLDER: Final = "models"


class MetricValue(BaseModel):
    """A figure of a snapshot."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    snapshot: str
    name: str
    value: float


class RunSummary(BaseModel):
    """What a run is, how far it has come, and what is seen of it."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    name: str
    path: str
    status: str = Field(description="running, finished, stopped, failed, or lost: ended unasked")
    alive: bool = Field(description="whether it is at work now, on this machine")
    reason: str
    preset: str
    version: int
    kimg: float
    total_kimg: float
    newest_snapshot: str | None
    newest_grid: str | None
    metrics: tuple[MetricValue, ...]
    started: datetime
    updated: datetime

    def newest_metrics(self) -> dict[str, float]:
        """Give the last value of each metric."""
        return {metric.name: metric.value for metric in self.metrics}


def models_folder(config: DatasetConfig, catalog: Catalog | None = None) -> Path:
    """Give the folder of a dataset's runs; it may be missing.

    Raises
    ------
    ConfigError
        If the root is no local disk, and `train.folder` is not set.
    """
    if config.train.folder is not None:
        return config.train.folder
    root = (catalog or open_catalog(config)).root
    if not root.is_local:
        raise ConfigError(
            f"`train.folder` must be set where `dataset.root` is no local folder, got {root.url}; "
            'runs are written to a local disk, e.g. folder = "models"'
        )
    return Path(root.join(FOLDER))


def run_folder(models: Path, run: str) -> Path:
    """Give the folder of a run, by its name or by the path of its folder.

    Raises
    ------
    SetupError
        If it can be neither.
    """
    if "/" in run:
        return Path(run).expanduser()
    if not re.fullmatch(RUN_NAME, run):
        raise SetupError(
            f"the name of a run must be letters, digits, `.`, `_` and `-`, got {run!r}; "
            "or give the path of its folder"
        )
    return models / run


def summary_of(record: RunRecord) -> RunSummary:
    """Sum up a run."""
    alive = is_alive(record)
    lost = record.status == "running" and not alive
    return RunSummary(
        name=record.path.name,
        path=str(record.path),
        status="lost" if lost else record.status,
        alive=alive,
        reason="ended without a word; the same command goes on" if lost else record.reason,
        preset=record.preset,
        version=record.version,
        kimg=record.kimg,
        total_kimg=record.total_kimg,
        newest_snapshot=record.newest_snapshot,
        newest_grid=record.newest_grid,
        metrics=tuple(MetricValue(**metric.model_dump()) for metric in record.metrics),
        started=record.started,
        updated=record.updated,
    )


def known_folder(config: DatasetConfig, catalog: Catalog | None = None) -> Path | None:
    """Give the folder of a dataset's runs; None where none is set, so that there are no runs."""
    try:
        return models_folder(config, catalog)
    except ConfigError:
        return None


def records(config: DatasetConfig, catalog: Catalog | None = None) -> list[RunRecord]:
    """Read all runs of a dataset, the one started last first; none where none can be kept."""
    folder = known_folder(config, catalog)
    return [] if folder is None else list_runs(folder)


def summaries(config: DatasetConfig) -> list[RunSummary]:
    """Give all runs of a dataset, the one started last first; none where none can be kept."""
    return [summary_of(record) for record in records(config)]
