"""What is read of a run to compare it: its record, its ticks, its grids. Without torch.

A run may be training meanwhile: whatever is torn or gone by the time it is read, is left out.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeGuard

from training.errors import SetupError
from training.runs.folder import RunFolder
from training.runs.record import RunRecord, is_alive, read_run

Curve: TypeAlias = tuple[tuple[float, float], ...]
"""Points: thousand images that were trained on, and a value."""

_NAME: Final = re.compile(r"kimg-(\d+)\.(\d{3})")  # of snapshots and of grids
_RECENT: Final = 10  # ticks that the speed is taken of
_TAIL: Final = 1 << 16  # bytes, of more than so many ticks


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is compared.

    Attributes
    ----------
    name : str
    version : int
        Number of the published version that it trains on.
    split : str or None
        Part of the set that the version is; None: the whole set.
    preset : str
    seed : int or None
    status : str
        running, finished, stopped, failed, lost, or waiting: not begun.
    reason : str
        Why it ended.
    kimg, total_kimg : float
        Thousand images trained on so far, and to train on in all.
    sec_per_kimg : float or None
        Median over the last ticks.
    metrics : mapping of str to Curve
        Figures of snapshots, finite ones, in order.
    ticks : mapping of str to Curve
        Figures of ticks.
    grids : mapping of int to Path
        Grids of generated pictures, by images trained on.
    reals : Path or None
        Grid of real pictures.
    """

    name: str
    version: int
    split: str | None = None
    preset: str = ""
    seed: int | None = None
    status: str = "waiting"
    reason: str = ""
    kimg: float = 0.0
    total_kimg: float = 0.0
    sec_per_kimg: float | None = None
    metrics: Mapping[str, Curve] = field(default_factory=dict)
    ticks: Mapping[str, Curve] = field(default_factory=dict)
    grids: Mapping[int, Path] = field(default_factory=dict)
    reals: Path | None = None

    def newest_metrics(self) -> dict[str, float]:
        """Give the last value of each metric."""
        return {name: curve[-1][1] for name, curve in self.metrics.items()}


def read(folder: Path, split: str | None = None) -> Run:
    """Read a run.

    Parameters
    ----------
    folder
        Its folder.
    split
        Part of the set that it trains on.

    Raises
    ------
    SetupError
        If it is no run's folder, or its record is damaged.
    """
    record = read_run(folder)
    rows = list(_rows(folder / "ticks.jsonl"))
    lost = record.status == "running" and not is_alive(record)
    return Run(
        name=folder.name,
        version=record.version,
        split=split,
        preset=record.preset,
        seed=_seed(folder),
        status="lost" if lost else record.status,
        reason="ended without a word; the same command goes on" if lost else record.reason,
        kimg=record.kimg,
        total_kimg=record.total_kimg,
        sec_per_kimg=_speed(rows),
        metrics=_metrics(record),
        ticks=_ticks(rows),
        grids=_grids(folder / "samples"),
        reals=reals if (reals := folder / "samples" / "reals.png").is_file() else None,
    )


def speed(folder: Path) -> float | None:
    """Give seconds for thousand images over the last ticks of a run; None before the first."""
    return _speed(list(_rows(folder / "ticks.jsonl", tail=_TAIL)))


def _seed(folder: Path) -> int | None:
    try:
        config = RunFolder(folder).read_config()
    except SetupError:
        return None
    return None if config is None else config.run.seed


def _rows(path: Path, tail: int | None = None) -> Iterator[dict[str, Any]]:
    """Go through the rows of a JSON lines file, of its last bytes only where so asked."""
    try:
        with path.open("rb") as file:
            if tail is not None:
                file.seek(max(file.seek(0, 2) - tail, 0))
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("kimg"), int | float):
            yield row


def _speed(rows: Sequence[Mapping[str, Any]]) -> float | None:
    recent = [value for row in rows[-_RECENT:] if _is_number(value := row.get("sec_per_kimg"))]
    return statistics.median(recent) if recent else None


def _metrics(record: RunRecord) -> dict[str, Curve]:
    found: dict[str, list[tuple[float, float]]] = {}
    for metric in record.metrics:
        nimg = _nimg(metric.snapshot)
        if nimg is not None and math.isfinite(metric.value):
            found.setdefault(metric.name, []).append((nimg / 1000, metric.value))
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def _ticks(rows: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        losses = row.get("losses")
        for name, value in {**row, **(losses if isinstance(losses, dict) else {})}.items():
            if _is_number(value):
                found.setdefault(name, []).append((float(row["kimg"]), float(value)))
    return {name: tuple(points) for name, points in found.items()}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _grids(samples: Path) -> dict[int, Path]:
    found = {_nimg(path.stem): path for path in samples.glob("kimg-*.png")}
    return {nimg: found[nimg] for nimg in sorted(n for n in found if n is not None)}


def _nimg(name: str) -> int | None:
    """Give the images trained on that a snapshot's or a grid's name says."""
    match = _NAME.fullmatch(name)
    return int(match[1] + match[2]) if match else None
