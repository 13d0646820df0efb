"""Whether a run has memorized: real pictures beside generated ones, drawn for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from training.encoder import Encoder, OwnEncoder
from training.evaluate import generated
from training.neighbours import draw, nearest
from training.trained_on import (
    AS_TRAINED,
    Progress,
    Source,
    mute,
    open_run,
    real_pictures,
    silent,
)
from training.watch.grids import save_png

_ROWS: Final = 16  # generated pictures


@dataclass(frozen=True, slots=True)
class NeighboursReport:
    """Where the picture of nearest neighbours is, and what it says.

    Attributes
    ----------
    snapshot : str
    path : Path
    ratio : float
        See `training.neighbours.Neighbours`: far below 1, the generator has memorized.
    encoder : str
        By which they are near.
    """

    snapshot: str
    path: Path
    ratio: float
    encoder: str


def neighbours(
    run: Path,
    *,
    source: Source = AS_TRAINED,
    snapshot: str | None = None,
    encoder: Encoder | None = None,
    count: int = _ROWS,
    k: int = 5,
    psi: float = 1.0,
    label: int | None = None,
    seed: int = 0,
    batch: int = 32,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    say: Callable[[str], None] = mute,
) -> NeighboursReport:
    """Draw the real pictures nearest to generated ones, to `<run>/neighbours-<snapshot>.png`.

    Parameters
    ----------
    run, source, snapshot, say
        See `training.trained_on.open_run`.
    encoder
        To compare by; None: our own.
    count
        Generated pictures.
    k
        Neighbours of each, at most.
    psi, seed, batch
        See `training.evaluate.measure_generator`.
    label
        Class of the generated pictures; None: as often as among the real ones.
    progress
        Told of "real".

    Raises
    ------
    SetupError, ShardError, SnapshotError
        If the run, its version or its snapshot are not as they must be.
    """
    opened = open_run(run, source, snapshot=snapshot, device=device, progress=progress, say=say)
    model, selection = opened.model, opened.selection
    fake = generated(
        model.G,
        selection,
        inverted=model.inverted,
        psi=psi,
        seed=seed,
        batch=batch,
        device=device,
    )
    if label is not None:
        only = [float(number == label) for number in range(len(model.labels))]
        fake = dataclasses.replace(fake, classes=only)
    samples = torch.cat(list(fake(count)))
    found = nearest(
        samples,
        real_pictures(opened.version, selection, batch=batch, workers=model.config.data.workers),
        encoder or OwnEncoder(),
        k=min(k, len(selection)),
        device=device,
        report=lambda done: progress("real", done, len(selection)),
    )
    path = run / f"neighbours-{model.name}.png"
    save_png(draw(samples, found), path)
    return NeighboursReport(model.name, path, found.ratio, found.encoder)
