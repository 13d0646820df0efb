"""Which runs and snapshots there are to look into, and what the page is told of each."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

from flows.explore.models import Loaded
from flows.settings import DatasetConfig
from flows.trainings.runs import known_folder, records
from review_ui.errors import NotFoundError
from review_ui.explore.told import (
    DirectionsTold,
    DirectionTold,
    ModelsTold,
    ModelTold,
    RunTold,
    SnapshotTold,
)
from training.latent.directions import Direction, DirectionSet, list_sets, set_path
from training.runs import snapshots
from training.runs.record import RunRecord, is_alive
from training.runs.states import STATE_FILE

_ABOUT: Final = {
    "sefa": "what styles change most by (SeFa)",
    "ganspace": "what samples differ by most (GANSpace)",
    "tags": "what people have called pictures",
}


def models_told(config: DatasetConfig) -> ModelsTold:
    """Tell which runs have snapshots."""
    runs = (_run(record) for record in records(config))
    return ModelsTold(dataset=config.dataset.name, runs=tuple(run for run in runs if run.snapshots))


def model_told(loaded: Loaded) -> ModelTold:
    """Tell what can be done with a snapshot."""
    G = loaded.model.G
    sizes = [*G.noise_sizes, G.size]
    return ModelTold(
        run=loaded.run.name,
        snapshot=loaded.model.name,
        key=loaded.key,
        height=G.size[0],
        width=G.size[1],
        num_ws=G.num_ws,
        layers=tuple(sizes),
        labels=loaded.model.labels,
        directions=tuple(_set(found) for found in loaded.directions.values()),
        problems=loaded.problems,
    )


def find_run(config: DatasetConfig, name: str) -> Path:
    """Give the folder of a run by its name, which comes from outside: it is no path.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    models = known_folder(config)
    folder = None if models is None else models / name
    if folder is None or folder.parent != models or not folder.is_dir():
        raise NotFoundError(f"there is no run {name[:80]!r}; `nonesuch runs` lists them")
    return folder


def find_snapshot(run: Path, name: str) -> str:
    """Check the name of a run's snapshot.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    if name not in snapshots.names(run / "snapshots"):
        raise NotFoundError(f"run {run.name} has no snapshot {name[:80]!r}, or not any more")
    return name


def key_of(run: Path, snapshot: str) -> str:
    """Give a key that is another one for other weights, and for other directions."""
    file = run / "snapshots" / snapshot / STATE_FILE
    try:
        weights = _digest(file, file.stat().st_mtime_ns)
        sets = [(name, set_path(run, name).stat().st_mtime_ns) for name in list_sets(run)]
    except OSError:  # pruned meanwhile, or being replaced
        return ""
    return hashlib.sha256(f"{weights} {sets}".encode()).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _digest(file: Path, _changed: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _run(record: RunRecord) -> RunTold:
    folder = record.path / "snapshots"
    return RunTold(
        name=record.path.name,
        version=record.version,
        preset=record.preset,
        height=record.size[0],
        width=record.size[1],
        is_training=is_alive(record),
        snapshots=tuple(
            SnapshotTold(
                name=name,
                kimg=float(name.removeprefix("kimg-")),
                key=key_of(record.path, name),
            )
            for name in reversed(snapshots.names(folder))
        ),
    )


def _set(found: DirectionSet) -> DirectionsTold:
    return DirectionsTold(
        name=found.name,
        kind=found.kind,
        about=_ABOUT[found.kind],
        directions=tuple(
            _direction(index, direction) for index, direction in enumerate(found.directions)
        ),
    )


def _direction(index: int, direction: Direction) -> DirectionTold:
    return DirectionTold(
        index=index,
        name=direction.name,
        low=-direction.range,
        high=direction.range,
        share=direction.figures.get("auroc", direction.share),
    )
