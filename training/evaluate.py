"""Figures of a trained run: how good its pictures are.

Figures go to `run.json`, for other parts of the product, and, with all that they depend on, to
`metrics.jsonl`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch

from training.data.select import Selection
from training.errors import SetupError, TrainingError
from training.metric_encoders import Loaded
from training.metrics import Figures, Generated, GeneratorLike, StatisticsCache, measure
from training.networks import Generator
from training.runs.folder import RunFolder
from training.runs.record import now
from training.shards import PublishedVersion
from training.trained_on import (
    AS_TRAINED,
    Progress,
    Source,
    fingerprint,
    mute,
    open_run,
    real_pictures,
    silent,
)

COUNT: Final = 5_000
"""Pictures that are generated; fewer where the real ones are."""

METRICS_FILE: Final = "metrics.jsonl"

_STATISTICS: Final = "statistics"  # folder of those of the real pictures
_NUMBERS: Final = ("n_real", "n_fake", "n_steps")  # no figures, but what they were taken of


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of a snapshot, and what they depend on.

    Attributes
    ----------
    snapshot : str
    cur_nimg : int
        Images that it was trained on.
    version_hash : str
        Of the real pictures.
    count : int
        Pictures, or steps, that were generated.
    psi : float
        Truncation.
    seed : int
        Of what was generated.
    figures : tuple of Figures
        One for each encoder.
    """

    snapshot: str
    cur_nimg: int
    version_hash: str
    count: int
    psi: float
    seed: int
    figures: tuple[Figures, ...]

    @property
    def values(self) -> dict[str, float]:
        """Figures of all encoders, by name."""
        return {
            name: value
            for figures in self.figures
            for name, value in figures.items()
            if name not in _NUMBERS
        }

    def rows(self) -> list[dict[str, Any]]:
        """Give what `metrics.jsonl` says: a row for each encoder; null for what is not finite."""
        shared = {
            name: getattr(self, name)
            for name in ("snapshot", "cur_nimg", "version_hash", "count", "psi", "seed")
        }
        return [
            {
                **shared,
                "encoder": figures.encoder,
                "taken": now().isoformat(),
                "values": {k: v if math.isfinite(v) else None for k, v in figures.items()},
            }
            for figures in self.figures
        ]


def usual_count(selection: Selection) -> int:
    """Give how many pictures are generated where nobody says: as many as real ones, up to 5,000.

    Precision and recall compare equally many; figures are compared at equal counts only.
    """
    return max(min(COUNT, len(selection)), 2)


def generated(
    G: Generator,
    selection: Selection,
    *,
    inverted: bool,
    psi: float = 1.0,
    seed: int = 0,
    batch: int = 32,
    device: torch.device | str = "cpu",
) -> Generated:
    """Give what G makes, as people see it, with classes as frequent as among real pictures."""
    classes = None
    if selection.labels is not None:
        counts = np.bincount(selection.labels, minlength=len(selection.classes))
        classes = [float(count) for count in counts]
    return Generated(
        # a module's `__call__` has no types to compare
        cast(GeneratorLike, G),
        psi=psi,
        seed=seed,
        batch=batch,
        inverted=inverted,
        classes=classes,
        device=device,
    )


def measure_generator(
    G: Generator,
    version: PublishedVersion,
    selection: Selection,
    loaded: Loaded,
    *,
    inverted: bool,
    count: int,
    cache: Path | None = None,
    psi: float = 1.0,
    seed: int = 0,
    batch: int = 32,
    workers: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> tuple[Figures, ...]:
    """Take figures of a generator beside real pictures; it draws nothing from shared randomness.

    Parameters
    ----------
    G
        On `device`, in evaluation mode; for path lengths in 32 bit (`models.full_precision`).
    version, selection
        The real pictures: all that are selected, never mirrored.
    loaded
        What to take, from `load_encoders`.
    inverted
        Whether G was trained on 255 - x; figures are taken of pictures as people see them.
    count
        Pictures to generate; `usual_count` is a good one. Classes are as frequent as among the real
        ones.
    cache
        Folder that statistics of the real pictures are kept in.
    psi
        Truncation.
    seed
        Of latents and classes.
    batch
        Pictures at once.
    workers
        Processes that decode real pictures.
    progress
        Told of "real", "generated" and "steps".

    Raises
    ------
    SetupError
        If there are too few pictures, or path lengths are asked of a generator in 16 bit.
    """
    totals = {"real": len(selection), "generated": count, "steps": count}
    fake = generated(
        G, selection, inverted=inverted, psi=psi, seed=seed, batch=batch, device=device
    )
    kept = None if cache is None else StatisticsCache(cache, fingerprint(version, selection))
    return tuple(
        measure(
            names,
            real=lambda: real_pictures(version, selection, batch=batch, workers=workers),
            fake=fake,
            count=count,
            encoder=encoder,
            device=device,
            progress=lambda what, done: progress(what, done, totals[what]),
            cache=kept,
        )
        for encoder, names in loaded
    )


def evaluate(
    run: Path,
    loaded: Loaded,
    *,
    source: Source = AS_TRAINED,
    snapshot: str | None = None,
    count: int | None = None,
    psi: float = 1.0,
    seed: int = 0,
    batch: int = 32,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    say: Callable[[str], None] = mute,
) -> Evaluation:
    """Take figures of a run's snapshot, and record them in its folder.

    In `run.json` are only those beside the version that it was trained on: figures beside another
    one would be taken for them.

    Parameters
    ----------
    run
        Its folder; it may be training meanwhile.
    loaded
        What to take, from `load_encoders`.
    source
        Where its pictures are not where they were.
    snapshot
        Name; None: the newest whole one.
    count
        Pictures to generate; None: `usual_count`.
    say
        Told of damaged snapshots that were passed over.

    Raises
    ------
    SetupError, ShardError, SnapshotError
        If the run, its version or its snapshot are not as they must be.
    """
    opened = open_run(run, source, snapshot=snapshot, device=device, progress=progress, say=say)
    folder = RunFolder(run)
    _check_writable(run / METRICS_FILE)
    model, selection = opened.model, opened.selection
    wanted = usual_count(selection) if count is None else count
    figures = measure_generator(
        model.G,
        opened.version,
        selection,
        loaded,
        inverted=model.inverted,
        count=wanted,
        cache=(source.cache or run) / _STATISTICS,
        psi=psi,
        seed=seed,
        batch=batch,
        workers=model.config.data.workers,
        device=device,
        progress=progress,
    )
    taken = Evaluation(model.name, model.cur_nimg, opened.version.hash, wanted, psi, seed, figures)
    record(folder, taken, own=taken.version_hash == opened.record.version_hash)
    return taken


def record(folder: RunFolder, taken: Evaluation, *, own: bool = True) -> None:
    """Write figures to `metrics.jsonl` and `run.json`.

    Parameters
    ----------
    own
        Whether they are beside the version that the run was trained on: `run.json` has no others.

    Raises
    ------
    TrainingError
        If they cannot be written.
    """
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in taken.rows())
    path = folder.path / METRICS_FILE
    try:
        with path.open("a+b") as file:
            if file.tell() and not _ends_a_line(path):
                file.write(b"\n")  # after one that a kill has torn
            file.write(lines.encode())
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror}") from error
    if own:
        folder.add_metrics(taken.snapshot, taken.values)


def _check_writable(path: Path) -> None:
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise SetupError(
            f"{path} cannot be written, where figures are recorded: {error.strerror}; copy the "
            "run's folder to where it can be"
        ) from error


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
