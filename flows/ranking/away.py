"""How the workers of a cluster score: what is too large to send with each part, they read once."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Sequence

import pyarrow as pa

from data_catalog.models import Model
from flows.compute.cluster import own
from flows.ranking import density, scoring
from flows.ranking.density import Looked, Sample
from flows.ranking.scoring import RankPart, Scored
from flows.settings import DatasetConfig
from review_ui.settings import ReviewConfig
from training.errors import SetupError

_lock = threading.Lock()
_samples: dict[str, Sample] = {}


def for_workers(config: DatasetConfig) -> DatasetConfig:
    """Leave out what workers have no use for, and should not know."""
    return config.model_copy(update={"sources": (), "review": ReviewConfig()})


def sent(parts: Sequence[RankPart]) -> list[RankPart]:
    """Make parts ready to be sent, each with its own rows alone."""
    return [dataclasses.replace(part, rows=own(part.rows)) for part in parts]


def look_at(config: DatasetConfig, rows: pa.Table) -> Looked:
    """Take the features of a part of a sample.

    Raises
    ------
    StorageError
        If a pack is missing.
    """
    return density.features_of(config, rows)


def score_by_model(config: DatasetConfig, model: Model, part: RankPart) -> Scored:
    """Score a part by a discriminator, whose run folders must be at the same place as here.

    Raises
    ------
    SetupError, SnapshotError, DivergedError, StorageError
        As those of `ranking.score_part`.
    """
    return scoring.score_part(config, model, part)


def score_by_density(config: DatasetConfig, name: str, part: RankPart) -> Scored:
    """Score a part by likeness to the sample of that name, which is read from the root.

    Raises
    ------
    SetupError
        If the sample is gone, or another one.
    StorageError
        If a pack is missing.
    """
    with _lock:
        found = _samples.get(name)
        if found is None:
            found = density.read_sample(config)
            if found is None or found.name != name:
                raise SetupError(
                    f"the sample {name} that pictures are compared with is gone from "
                    f"{config.dataset.root}; `nonesuch rank` draws another"
                )
            _samples.clear()
            _samples[name] = found
    return density.score_density(config, found, part)


def let_go() -> None:
    """Give back what a worker keeps for the next part: networks, the sample, a GPU's memory."""
    scoring.let_go()
    density.let_go()
    _samples.clear()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
