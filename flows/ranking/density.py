"""How `nonesuch rank` finds what is unlike the rest: by density, without training or Prefect.

A sample of the set is drawn once and kept below the root; whatever comes later is compared with the
same one, until the set has grown by half. Torch is imported when something is scored, not before.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from curation.scorers import density_name
from curation.stages.pictures import standard_pictures
from curation.stages.ranking import gone, spread, standardized
from curation.stages.scores import unscored
from data_catalog.shards import key_of
from flows.catalog import open_catalog
from flows.ranking.scoring import (
    RankPart,
    RankPlan,
    Scored,
    as_rows,
    check_packages,
    part_size,
    threads,
)
from flows.settings import DatasetConfig
from training.errors import SetupError

if TYPE_CHECKING:
    from torch import Tensor

    from training.encoder import Encoder
    from training.reference import Kept

FOLDER: Final = "rank/density"

Advance = Callable[[int], None]
Batches = Iterator[tuple[list[str], "Tensor"]]


def _nobody(_pictures: int) -> None:
    """Tell nobody."""


class TooFewError(SetupError):
    """There are no two pictures to compare."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the pictures of a recipe are compared with, and what scores by it are called."""

    kept: Kept
    name: str


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """A sample that is to be drawn.

    Attributes
    ----------
    parts : tuple of pyarrow.Table
        `item_id`, `pack`, `offset`, `length`, by place: what is looked at together.
    pictures : int
        In the whole set.
    """

    parts: tuple[pa.Table, ...]
    pictures: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of a part of a sample: its features as a file, and pictures that were damaged."""

    features: bytes
    damaged: Mapping[str, str]


def path_of(config: DatasetConfig) -> str:
    """Say where the sample of the recipe is, relative to the root."""
    return f"{FOLDER}/{config.recipe.id}.npz"


def read_sample(config: DatasetConfig) -> Sample | None:
    """Read the sample that is kept; None where there is none.

    Raises
    ------
    SetupError
        If a package is missing, or the file is damaged.
    """
    root, path = open_catalog(config).root, path_of(config)
    if not root.exists(path):
        return None
    check_packages()
    from training.reference import from_bytes

    try:
        kept = from_bytes(root.read_bytes(path))
    except SetupError as error:
        raise SetupError(
            f"{root.join(path)}: {error}; `nonesuch rank` draws another where it is removed"
        ) from error
    return Sample(kept, _name(config, kept))


def plan_sample(config: DatasetConfig, known: Sample | None) -> SamplePlan | None:
    """Say what is to be looked at for another sample; None where the known one still stands.

    It is drawn among what the last build has not rejected for other reasons than scores: copies of
    a picture would be neighbours of it that tell nothing.

    Raises
    ------
    TooFewError
        If there is only one picture, or none.
    """
    from training.encoder import OwnEncoder
    from training.reference import lowest

    catalog = open_catalog(config)
    everything = standardized(catalog, config.recipe, pa.array([], pa.string()))
    if known is not None and known.kept.fits(everything.num_rows, OwnEncoder.name):
        return None
    rows = standardized(catalog, config.recipe, gone(catalog))
    if rows.num_rows < 2:
        rows = everything
    _check_number(rows.num_rows)
    chosen = lowest([key_of(str(item)) for item in rows["item_id"].to_pylist()])
    rows = rows.take(pa.array(chosen, pa.int64()))
    return SamplePlan(tuple(spread(rows, part_size(config))), everything.num_rows)


def look_at(config: DatasetConfig, rows: pa.Table, advance: Advance = _nobody) -> Mapping[str, str]:
    """Take the features of a part of the sample and keep them until all are there.

    Returns
    -------
    dict
        Items that are damaged, and why.
    """
    if is_kept(config, rows):
        advance(rows.num_rows)
        return {}
    looked = features_of(config, rows, advance)
    keep_part(config, rows, looked)
    return looked.damaged


def is_kept(config: DatasetConfig, rows: pa.Table) -> bool:
    """Tell whether the features of a part are there, from before a kill."""
    return open_catalog(config).root.exists(_part_path(config, rows))


def keep_part(config: DatasetConfig, rows: pa.Table, looked: Looked) -> None:
    """Keep the features of a part until all are there."""
    open_catalog(config).root.write_bytes(_part_path(config, rows), looked.features)


def features_of(config: DatasetConfig, rows: pa.Table, advance: Advance = _nobody) -> Looked:
    """Take the features of a part of the sample; nothing is written."""
    import torch

    damaged: dict[str, str] = {}
    with threads(config):
        found = list(_encoded(config, rows, damaged, advance))
    keys = [key.encode() for part, _ in found for key in part]
    features = torch.cat([part for _, part in found]).numpy() if found else np.empty((0, 0))
    sink = io.BytesIO()
    np.savez(sink, keys=np.array(keys), features=features)
    return Looked(sink.getvalue(), damaged)


def keep_sample(config: DatasetConfig, plan: SamplePlan) -> Sample:
    """Make the sample of its parts and keep it in place of the one before.

    Raises
    ------
    TooFewError
        If fewer than two pictures could be looked at.
    """
    from training.density import reference_of
    from training.encoder import OwnEncoder
    from training.reference import Kept, to_bytes

    root = open_catalog(config).root
    parts = [_read_part(root.read_bytes(_part_path(config, rows))) for rows in plan.parts]
    _check_number(sum(len(keys) for keys, _ in parts))
    reference = reference_of((part for part in parts if part[0]), OwnEncoder.name)
    kept = Kept(reference, plan.pictures)
    root.write_bytes(path_of(config), to_bytes(kept))
    root.remove(_parts_folder(config))
    return Sample(kept, _name(config, kept))


def plan_density(config: DatasetConfig, name: str) -> RankPlan:
    """Find what has no score by a sample, and cut it into parts."""
    rows = unscored(open_catalog(config), config.recipe, name)
    parts = (RankPart(part, 0) for part in spread(rows, part_size(config)))
    return RankPlan(tuple(parts), 0)


def score_density(
    config: DatasetConfig, sample: Sample, part: RankPart, advance: Advance = _nobody
) -> Scored:
    """Score the pictures of a part; nothing is written, and those of the sample are not decoded.

    Raises
    ------
    StorageError
        If a pack is missing.
    """
    from training.density import point_scores

    reference = sample.kept.reference
    places = {key: row for row, key in enumerate(reference.keys)}
    items = {key_of(item): item for item in part.rows["item_id"].to_pylist()}
    known = [key for key in items if key in places]
    others = part.rows.filter(pa.array([key not in places for key in items], pa.bool_()))
    damaged: dict[str, str] = {}

    def points() -> Batches:
        if known:
            yield known, reference.points[[places[key] for key in known]]
            advance(len(known))
        for keys, features in _encoded(config, others, damaged, advance):
            yield keys, reference.standardize(features)

    with threads(config):
        found = point_scores(points(), reference, device=_device(config))
        scores = [{"item_id": items[key], "mean": mean} for key, mean in found]
    return Scored(as_rows(config, sample.name, scores), damaged)


def _check_number(pictures: int) -> None:
    if pictures < 2:
        raise TooFewError(f"not ranked by likeness: it takes two pictures or more, got {pictures}")


def _name(config: DatasetConfig, kept: Kept) -> str:
    return density_name(kept.reference.encoder, kept.name(config.recipe.id))


def _encoded(
    config: DatasetConfig, rows: pa.Table, damaged: dict[str, str], advance: Advance
) -> Batches:
    """Decode pictures and take their features."""
    import torch

    device = _device(config)
    encoder = _encoder(device)
    found = standard_pictures(
        open_catalog(config),
        config.recipe,
        rows,
        batch=config.rank.batch,
        workers=config.run.workers,
        damaged=damaged.__setitem__,
    )
    for items, pixels in found:
        with torch.no_grad():
            features = encoder(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device))
        yield [key_of(item) for item in items], features.cpu()
        advance(len(items))


def _device(config: DatasetConfig) -> str:
    from training.distributed import pick_device

    return str(pick_device(config.rank.device))


@lru_cache(maxsize=1)
def _encoder(device: str) -> Encoder:
    from training.encoder import OwnEncoder

    return OwnEncoder().to(device)


def let_go() -> None:
    """Give back the memory of the network that looks at pictures."""
    _encoder.cache_clear()


def _parts_folder(config: DatasetConfig) -> str:
    return f"{FOLDER}/{config.recipe.id}.parts"


def _part_path(config: DatasetConfig, rows: pa.Table) -> str:
    from training.encoder import OwnEncoder

    told = "\0".join([OwnEncoder.name, *map(str, rows["item_id"].to_pylist())])
    return f"{_parts_folder(config)}/{hashlib.sha256(told.encode()).hexdigest()[:16]}.npz"


def _read_part(data: bytes) -> tuple[list[str], Tensor]:
    import torch

    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return [key.decode() for key in file["keys"].tolist()], torch.from_numpy(file["features"])
