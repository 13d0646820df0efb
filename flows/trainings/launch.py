"""Starts trainings: which version, which run, told what, by how many processes.

Without Prefect, which takes seconds to import, and without torch: who trains are processes of
their own, so that nothing of a GPU is held here.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from data_catalog.catalog import Catalog
from data_catalog.errors import VersionNotFoundError
from data_catalog.versions import Version, load_version
from flows.catalog import open_catalog
from flows.settings import DatasetConfig
from flows.trainings import team
from flows.trainings.finish import finish
from flows.trainings.runs import RunSummary, models_folder, run_folder, summary_of
from training.command import STORAGE_OPTIONS, nested, parse_setting
from training.config import TrainingConfig
from training.errors import SetupError, TrainingError
from training.presets import PRESETS, resolve
from training.runs.folder import RunFolder, VersionFacts
from training.runs.record import RunRecord, read_run

if TYPE_CHECKING:
    from training.trained_on import Source

_PACKAGES: Final = ("torch", "safetensors", "tensorboard")


class EndedError(TrainingError):
    """A process of training ended with an exit code; it has said why."""

    def __init__(self, run: Path, code: int) -> None:
        super().__init__(f"training of {run} ended with exit code {code}; it said why")
        self.code = code


class TrainOptions(BaseModel):
    """What one start is told besides the configuration, over which it wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int | None = Field(None, ge=0, description="0 is the newest")
    split: str | None = Field(None, description="that the version is of; none: the whole set")
    preset: str | None = None
    run: str | None = Field(None, description="name of the run, or path of its folder")
    gpus: int | None = Field(None, ge=0)
    transfer: Path | None = None
    settings: dict[str, Any] = Field(default_factory=dict, description="by `section.key`")


@dataclass(frozen=True, slots=True)
class Start:
    """A training as it is started.

    Attributes
    ----------
    run : Path
        Its folder.
    arguments : tuple of str
        Of `training.command`.
    environment : dict
        With the secrets.
    processes : int
        That train together.
    version, version_hash
        That is trained on; 0 and empty where nothing is trained.
    """

    run: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    processes: int
    version: int = 0
    version_hash: str = ""


@dataclass(frozen=True, slots=True)
class _Saved:
    """What a run was begun with."""

    config: TrainingConfig
    facts: VersionFacts


def train_run(config: DatasetConfig, options: TrainOptions) -> RunSummary:
    """Train, or go on, until the end or a signal to stop; see `run.json` for which it was.

    A run that has come to its end may judge from then on: see
    `flows.trainings.models.register_run`.

    Raises
    ------
    SetupError, ConfigError, CatalogError
        If it cannot be started.
    EndedError
        If it failed.
    """
    start = plan(config, options)
    summary = run_start(start)
    finish(config, [start.run])
    return summary


def run_start(start: Start, heard: Callable[[Signals], None] | None = None) -> RunSummary:
    """Do what `plan` has said.

    Parameters
    ----------
    heard
        Told of the first wish to stop; the training saves and ends then.

    Raises
    ------
    EndedError
        If it failed.
    """
    code = team.run(start.arguments, start.environment, start.processes, heard)
    if code:
        raise EndedError(start.run, code)
    return summary_of(read_run(start.run))


def train_folds(config: DatasetConfig, options: TrainOptions, k: int) -> Iterator[RunSummary]:
    """Train k runs, each without one part of the pictures, one after the other.

    A wish to stop ends the one under way, and none is begun after it.

    Raises
    ------
    SetupError, ConfigError, CatalogError, EndedError
        As `train_run`.
    """
    for options_of_fold in fold_options(config, options, k):
        summary = train_run(config, options_of_fold)
        yield summary
        if summary.status != "finished":
            return


def show_plan(config: DatasetConfig, options: TrainOptions, *, as_json: bool) -> int:
    """Have a process print what would be trained and what it would cost; give its exit code."""
    start = plan(config, options)
    arguments = (*start.arguments, "--dry-run", *(("--json",) if as_json else ()))
    # One process is enough, which reckons with as many.
    return team.run(arguments, {**start.environment, "WORLD_SIZE": str(start.processes)})


def fold_options(config: DatasetConfig, options: TrainOptions, k: int) -> list[TrainOptions]:
    """Give what each run of a k-fold training is told: all the same version.

    Raises
    ------
    SetupError
        If k is less than 2.
    """
    require_packages()
    from training.folds import fold_plan  # imports torch

    catalog = open_catalog(config)
    models = models_folder(config, catalog)
    preset, name, number = _asked(config, options)
    if name is None:
        newest = load_version(catalog, number or None, split=options.split)
        name = f"v{newest.version}-{preset}"
    runs = [(run_folder(models, run), fold) for run, fold in fold_plan(name, k)]
    if number is None:  # what was begun goes on with its version
        known = (_read_saved(run) for run, _ in runs)
        number = next((saved.facts.version for saved in known if saved is not None), None)
    version = load_version(catalog, number or None, split=options.split).version
    return [
        options.model_copy(
            update={
                "version": version,
                "run": str(run),
                "settings": {**options.settings, "data.fold": fold},
            }
        )
        for run, fold in runs
    ]


def plan(config: DatasetConfig, options: TrainOptions) -> Start:
    """Say how a training is started. Reads the catalog and the run; nothing is written.

    Raises
    ------
    SetupError
        If a package or a GPU is missing, or a setting is wrong.
    ConfigError
        If it is not known where runs are to be kept.
    CatalogError
        If there is no such version.
    """
    require_packages()
    catalog = open_catalog(config)
    models = models_folder(config, catalog)
    settings = {**config.train.settings(), **options.settings}
    preset, name, number = _asked(config, options)
    if name is None:
        version = load_version(catalog, number or None, split=options.split)
        run = models / f"v{version.version}-{preset}{_fold_suffix(settings)}"
        saved = _read_saved(run)
    else:
        run = run_folder(models, name)
        saved = _read_saved(run)
        if number is None and saved is not None:  # a newer version does not end it
            number = saved.facts.version
        version = load_version(catalog, number or None, split=options.split)
    gpus = config.train.gpus if options.gpus is None else options.gpus
    processes = count_processes(gpus, _device(settings, preset, saved))
    if saved is None:
        _check(version, preset, settings, processes)
    told = options.preset is not None or "preset" in config.train.model_fields_set
    arguments = [version.path, "--run", str(run)]
    arguments += ["--preset", preset] if told or saved is None else []
    for key, value in settings.items():
        arguments += ["--set", f"{key}={json.dumps(value)}"]
    transfer = _transfer_from(options.transfer or config.train.transfer, models)
    arguments += ["--transfer", str(transfer)] if transfer is not None else []
    arguments += _cache(config)
    secrets = secrets_of(catalog)
    return Start(run, tuple(arguments), secrets, processes, version.version, version.hash)


def _transfer_from(source: Path | None, models: Path) -> Path | None:
    """Give the folder to take weights from, which may be told by the name of a run."""
    if source is None or source.exists() or not (models / source.name).is_dir():
        return source
    return models / source.name


def plan_metrics(config: DatasetConfig, run: str, options: list[str]) -> Start:
    """Say how the metrics of a run are taken.

    Parameters
    ----------
    run
        Its name, or the path of its folder.
    options
        Of `python -m training metrics`.

    Raises
    ------
    SetupError, ConfigError, CatalogError
        As `plan`, and if there is no such run.
    """
    require_packages()
    catalog = open_catalog(config)
    folder = run_folder(models_folder(config, catalog), run)
    record = read_run(folder)
    arguments = ["metrics", str(folder), *options]
    place = version_path(catalog, record)
    if place is not None:
        arguments += ["--version", place]
    return Start(folder, (*arguments, *_cache(config)), secrets_of(catalog), 1)


def version_path(catalog: Catalog, record: RunRecord) -> str | None:
    """Give where the catalog has the version of a run; None where it is of another catalog."""
    with contextlib.suppress(VersionNotFoundError):
        version = load_version(catalog, record.version)
        if version.hash == record.version_hash:
            return version.path
    return None  # the run knows where it was


def source_of(config: DatasetConfig, run: Path) -> Source:
    """Say where the pictures are that a run was trained on.

    Raises
    ------
    SetupError, CatalogError
        If it is no run's folder, or the catalog cannot be read.
    """
    from training.trained_on import Source  # late: it imports torch

    catalog = open_catalog(config)
    place = version_path(catalog, read_run(run))
    return Source(place, config.train.cache, catalog.root.storage_options)


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Read `section.key=value`, as `training.command.parse_setting` does."""
    return dict(map(parse_setting, texts))


def secrets_of(catalog: Catalog) -> dict[str, str]:
    """Give the environment that hands over storage options: arguments can be read by others."""
    options = catalog.root.storage_options
    return {STORAGE_OPTIONS: json.dumps(options)} if options else {}


def count_processes(gpus: int, device: str) -> int:
    """Give how many processes train.

    Parameters
    ----------
    gpus
        That are asked for; 0 is all.
    device
        `cuda`, `cpu` or `auto`.

    Raises
    ------
    SetupError
        If there are not so many.
    """
    if device == "cpu" or gpus == 1:
        return gpus or 1
    there = count_gpus()
    if gpus > there:
        remedy = f"use `--gpus {there}`" if there else "use `--gpus 1 --device cpu`"
        raise SetupError(f"{gpus} GPUs are asked for, PyTorch finds {there} here; {remedy}")
    return gpus or max(there, 1)


def count_gpus() -> int:
    """Ask PyTorch how many GPUs there are."""
    code = "import torch; print(torch.cuda.device_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise SetupError(f'PyTorch does not start: {last}; pip install "nonesuch[train]"')
    return int(done.stdout.split()[-1])


def _cache(config: DatasetConfig) -> list[str]:
    cache = config.train.cache
    return [] if cache is None else ["--cache", str(cache)]


def require_packages() -> None:
    """Refuse to go on without what networks need.

    Raises
    ------
    SetupError
        If a package is missing.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise SetupError(
            f"training needs {', '.join(missing)}, which is not installed here; "
            'pip install "nonesuch[train]"'
        )


def _asked(config: DatasetConfig, options: TrainOptions) -> tuple[str, str | None, int | None]:
    """Give preset, run and version that are asked for."""
    number = options.version
    if number is None and options.split is None:
        number = config.train.version
    preset = options.preset or config.train.preset
    return preset, options.run or config.train.name, number


def _fold_suffix(settings: Mapping[str, Any]) -> str:
    """Call a run of one fold as `training.folds.fold_plan` does."""
    fold = settings.get("data.fold")
    return f"-fold{str(fold).replace('/', 'of')}" if fold else ""


def _read_saved(run: Path) -> _Saved | None:
    if not (run / "config.json").is_file():
        return None
    folder = RunFolder(run)
    config, facts = folder.read_config(), folder.read_version()
    return _Saved(config, facts) if config is not None and facts is not None else None


def _device(settings: Mapping[str, Any], preset: str, saved: _Saved | None) -> str:
    default = PRESETS.get(preset, {}).get("run", {}).get("device", "cuda")
    if saved is not None:
        default = saved.config.run.device
    return str(settings.get("run.device", default))


def _check(version: Version, preset: str, settings: Mapping[str, Any], processes: int) -> None:
    """Find wrong settings before anything is started or written."""
    size = (version.manifest["height"], version.manifest["width"])
    resolve(preset, nested(dict(settings)), size=size, gpus=processes)
