"""Trainings as the review page shows them: how far they are, curves, which grids there are."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flows.settings import DatasetConfig
from flows.trainings.comparison import PAGE
from flows.trainings.runs import RunSummary, known_folder, run_folder, summaries, summary_of
from review_ui.errors import NotFoundError
from review_ui.loop import Grid, RunDetails, RunTold, Series
from training.errors import SetupError
from training.runs.record import read_run

TICKS: Final = "ticks.jsonl"
SAMPLES: Final = "samples"
REALS: Final = "reals"

_POINTS: Final = 240  # of a curve; more are not seen
_TAIL: Final = 16 << 10  # bytes, in which the last tick lies
# As the page names them: figures of a tick, some of which are among its losses.
_CURVES: Final = {
    "loss_G": "losses",
    "loss_D": "losses",
    "ada_p": "",
    "d_sign_real": "",
    "sec_per_kimg": "",
}


def told(config: DatasetConfig) -> list[RunTold]:
    """Give all runs, the one started last first."""
    return [_told(run) for run in summaries(config)]


def details(config: DatasetConfig, name: str) -> RunDetails:
    """Give what is drawn of a run.

    Raises
    ------
    NotFoundError
        If there is no such run.
    """
    run = find(config, name)
    folder = Path(run.path)
    return RunDetails(
        name=run.name,
        curves=list(_curves(folder / TICKS, _stamp(folder / TICKS))),
        metrics=_metrics(run),
        grids=[*_grids(folder), *_reals(folder)],
    )


def compared_at(config: DatasetConfig) -> datetime | None:
    """Give when runs were compared last; None where they never were."""
    models = known_folder(config)
    if models is None:
        return None
    try:
        return datetime.fromtimestamp((models / PAGE).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def comparison(config: DatasetConfig) -> bytes:
    """Give the page on which they were compared.

    Raises
    ------
    NotFoundError
        If they never were.
    """
    models = known_folder(config)
    if models is None:
        raise NotFoundError(
            "no runs were compared: `train.folder`, where they are kept, is not set"
        )
    try:
        return (models / PAGE).read_bytes()
    except OSError as error:
        raise NotFoundError("no runs were compared yet; `nonesuch matrix` does") from error


def _told(run: RunSummary) -> RunTold:
    folder = Path(run.path)
    grid = None
    if run.newest_grid is not None:
        grid = _grid(folder, Path(run.newest_grid).stem)
    return RunTold(
        name=run.name,
        version=run.version,
        preset=run.preset,
        status=run.status,
        is_alive=run.alive,
        reason=run.reason,
        kimg=run.kimg,
        total_kimg=run.total_kimg,
        sec_per_kimg=_last_tick(folder / TICKS).get("sec_per_kimg"),
        metrics=run.newest_metrics(),
        grid=grid,
        started_at=run.started,
        updated_at=run.updated,
    )


def find(config: DatasetConfig, name: str) -> RunSummary:
    """Give a run by its name, which comes from outside: it is no path."""
    models = known_folder(config)
    if models is None:
        raise NotFoundError(f"there is no run {name[:80]!r}: `train.folder` is not set")
    try:
        folder = run_folder(models, name)
        if "/" in name or folder.parent != models:
            raise NotFoundError(f"there is no run {name[:80]!r}")
        return summary_of(read_run(folder))
    except SetupError as error:
        raise NotFoundError(str(error)) from error


# ---- Curves. -------------------------------------------------------------------------------------


def _stamp(path: Path) -> tuple[int, int]:
    """Give what tells one content of a file from another."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=64)
def _curves(path: Path, _stamp: tuple[int, int]) -> tuple[Series, ...]:
    """Read the curves of a run: many people look at the same ones."""
    ticks = list(_rows(path))
    return tuple(found for name in _CURVES if (found := _curve(name, ticks)) is not None)


def _curve(name: str, ticks: Sequence[Mapping[str, Any]]) -> Series | None:
    part = _CURVES[name]
    points = []
    for tick in ticks:
        value = (tick.get(part) or {} if part else tick).get(name)
        if isinstance(value, int | float):
            points.append((tick["cur_nimg"] / 1000, float(value)))
    return _series(name, _thinned(points)) if points else None


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Take the means of as many neighbours as leaves few enough points."""
    step = math.ceil(len(points) / _POINTS)
    if step <= 1:
        return list(points)
    parts = (points[at : at + step] for at in range(0, len(points), step))
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _metrics(run: RunSummary) -> list[Series]:
    found: dict[str, list[tuple[float, float]]] = {}
    for metric in run.metrics:
        kimg = _kimg(metric.snapshot)
        if kimg is not None:
            found.setdefault(metric.name, []).append((kimg, metric.value))
    return [_series(name, sorted(points)) for name, points in found.items()]


def _series(name: str, points: Iterable[tuple[float, float]]) -> Series:
    pairs = list(points)
    return Series(name=name, kimg=[at for at, _ in pairs], values=[value for _, value in pairs])


def _kimg(name: str) -> float | None:
    """Read how far the run was from the name of a snapshot or a grid."""
    try:
        return float(name.removeprefix("kimg-"))
    except ValueError:
        return None


def _last_tick(path: Path) -> dict[str, Any]:
    """Read the last row; the file of a long run is large."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return {}
    # The last part is torn, or empty.
    rows = (row for line in reversed(lines[:-1]) if (row := _row(line)) is not None)
    return next(rows, {})


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return
    yield from (row for line in lines if (row := _row(line)) is not None)


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("cur_nimg"), int) else None


# ---- Grids. --------------------------------------------------------------------------------------


def _grids(folder: Path) -> list[Grid]:
    names = sorted(path.stem for path in (folder / SAMPLES).glob("kimg-*.png"))
    return [grid for name in names if (grid := _grid(folder, name)) is not None]


def _reals(folder: Path) -> list[Grid]:
    grid = _grid(folder, REALS)
    return [] if grid is None else [grid]


def _grid(folder: Path, name: str) -> Grid | None:
    try:
        stamp = (folder / SAMPLES / f"{name}.png").stat().st_mtime_ns
    except OSError:
        return None
    return Grid(
        id=name, kimg=_kimg(name), url=f"/runs/{folder.name}/grids/{name}?v={stamp // 1000:x}"
    )
