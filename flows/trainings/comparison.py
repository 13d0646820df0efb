"""Runs beside each other: a table for the terminal and programs, a page for people.

Without Prefect and without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from data_catalog.catalog import Catalog
from data_catalog.versions import list_versions
from flows.catalog import open_catalog
from flows.settings import DatasetConfig
from flows.trainings.runs import models_folder, run_folder
from training.compare import collect
from training.compare.collect import Run
from training.errors import SetupError
from training.runs.files import write_atomically
from training.runs.record import RUN_FILE, read_run

PAGE: Final = "compare.html"


class ComparedRun(BaseModel):
    """A run as it is compared."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    run: str
    version: int
    split: str | None = Field(description="None: the whole set")
    preset: str
    seed: int | None
    kimg: float
    total_kimg: float
    sec_per_kimg: float | None
    metrics: dict[str, float] = Field(description="the newest value of each")
    status: str = Field(description="as of `nonesuch runs`, or waiting: not begun")
    reason: str


class Comparison(BaseModel):
    """What was compared, and the page that shows it."""

    folder: str
    page: str
    runs: tuple[ComparedRun, ...]


def compare(config: DatasetConfig, runs: Sequence[Run]) -> Comparison:
    """Write the page of some runs; give their table.

    Raises
    ------
    ConfigError
        If it is not known where runs are kept.
    TrainingError
        If the page cannot be written.
    """
    from training.compare.page import render  # decodes pictures

    models = models_folder(config)
    models.mkdir(parents=True, exist_ok=True)
    page = models / PAGE
    write_atomically(page, render(config.dataset.name, runs, datetime.now(UTC)))
    return Comparison(folder=str(models), page=str(page), runs=table_of(runs))


def table_of(runs: Sequence[Run]) -> tuple[ComparedRun, ...]:
    """Give the table of some runs."""
    return tuple(map(_row, runs))


def find_runs(config: DatasetConfig, names: Sequence[str]) -> list[Run]:
    """Read runs, by name or by the path of their folder.

    Raises
    ------
    SetupError
        If one of them is none.
    """
    catalog = open_catalog(config)
    models = models_folder(config, catalog)
    splits = splits_of(catalog)
    return [read_run_of(run_folder(models, name), splits) for name in dict.fromkeys(names)]


def read_run_of(folder: Path, splits: dict[tuple[int, str], str | None]) -> Run:
    """Read a run, with the split that its version is of."""
    record = read_run(folder)
    return collect.read(folder, splits.get((record.version, record.version_hash)))


def splits_of(catalog: Catalog) -> dict[tuple[int, str], str | None]:
    """Give the split of each version, by number and hash."""
    return {(version.version, version.hash): version.split for version in list_versions(catalog)}


def is_begun(folder: Path) -> bool:
    """Tell whether there is a run in a folder that can be read."""
    if not (folder / RUN_FILE).is_file():
        return False
    try:
        read_run(folder)
    except SetupError:
        return False
    return True


def _row(run: Run) -> ComparedRun:
    return ComparedRun(
        run=run.name,
        version=run.version,
        split=run.split,
        preset=run.preset,
        seed=run.seed,
        kimg=run.kimg,
        total_kimg=run.total_kimg,
        sec_per_kimg=run.sec_per_kimg,
        metrics=run.newest_metrics(),
        status=run.status,
        reason=run.reason,
    )
