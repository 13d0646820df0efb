"""How `nonesuch rank` scores: by whom, what together, one part after another. Without Prefect.

Torch is imported when something is scored, and not before: a rebuild without a model needs none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from curation.pool import default_workers
from curation.stages.pictures import standard_pictures
from curation.stages.ranking import evenly, spread, standardized
from curation.stages.scores import unscored
from data_catalog.models import Model
from data_catalog.schema import SCORES
from data_catalog.shards import key_of
from flows.catalog import open_catalog
from flows.settings import DatasetConfig
from flows.trainings.models import folders_of
from training.data.select import fold_of
from training.errors import SetupError

if TYPE_CHECKING:
    from training.rank import Judges, Pictures

_PACKAGES: Final = ("torch", "safetensors")
_ON_GPU: Final = 2000
_ON_CPU: Final = 200
_CLASS: Final = "class"
_NO_CLASS: Final = -1


@dataclass(frozen=True, slots=True)
class RankPart:
    """Items that are scored and saved together.

    Attributes
    ----------
    rows : pyarrow.Table
        `item_id`, `pack`, `offset`, `length`, and `class` where the networks know classes; by
        place.
    fold : int
        Part of a k-fold training, from 0; 0 where one judge judges all.
    """

    rows: pa.Table
    fold: int


@dataclass(frozen=True, slots=True)
class RankPlan:
    """What is to be scored.

    Attributes
    ----------
    parts : tuple of RankPart
    left_out : int
        Items of a class that the networks do not know; nothing can be said of them.
    """

    parts: tuple[RankPart, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of a part: rows for the table of scores, and pictures that were damaged."""

    rows: pa.Table
    damaged: Mapping[str, str]


def check(config: DatasetConfig, model: Model) -> None:
    """See that the model can judge the pictures of the recipe here.

    Raises
    ------
    SetupError
        If a package is missing, or it was trained on pictures of another size.
    """
    check_packages()
    recipe = config.recipe
    if (model.height, model.width) != (recipe.height, recipe.width):
        raise SetupError(
            f"model {model.model} judges pictures of {model.width}×{model.height} px (width × "
            f"height), the recipe makes {recipe.width}×{recipe.height}; train on a version of this "
            "recipe, or choose another model: `nonesuch models` lists them"
        )


def check_packages() -> None:
    """See that what computes is installed here.

    Raises
    ------
    SetupError
        If a package is missing.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise SetupError(
            f"ranking needs {', '.join(missing)}, which is not installed here; "
            'pip install "nonesuch[train]"'
        )


def part_size(config: DatasetConfig) -> int:
    """Say how many pictures are saved together; whether there is a GPU, the workers know."""
    import torch

    asked = config.rank.device
    on_gpu = asked == "cuda" or (asked == "auto" and torch.cuda.is_available())
    return config.rank.partition or (_ON_GPU if on_gpu else _ON_CPU)


def plan_parts(config: DatasetConfig, model: Model, selection: Callable[[], pa.Table]) -> RankPlan:
    """Find what the model has not scored, and cut it into parts.

    Parameters
    ----------
    selection
        Gives what is in the set now, with labels; asked where the networks know classes.

    Raises
    ------
    SetupError, SnapshotError
        If the model is not whole.
    """
    rows = unscored(open_catalog(config), config.recipe, model.model)
    if not rows.num_rows:
        return RankPlan((), 0)
    judges = _judges(config, model, 0, "cpu")  # which need no GPU to say what they know
    before = rows.num_rows
    if judges.labels:
        rows = _with_classes(judges, rows, selection())
    size = part_size(config)
    folds = _folds(rows, judges.folds)
    parts = [
        RankPart(part, fold)
        for fold in range(judges.folds)
        for part in spread(rows.filter(pa.array(folds == fold)), size)
    ]
    return RankPlan(tuple(parts), before - rows.num_rows)


def score_part(
    config: DatasetConfig,
    model: Model,
    part: RankPart,
    advance: Callable[[int], None] = lambda _: None,
) -> Scored:
    """Score the pictures of a part; nothing is written.

    Equal parts have equal scores, wherever and whenever they are scored.

    Parameters
    ----------
    advance
        Told of pictures that were taken.

    Raises
    ------
    SetupError, SnapshotError, DivergedError
        If the networks cannot judge, or give what is no number.
    StorageError
        If a pack is missing.
    """
    from training.rank import score_pictures

    judges = judges_of(config, model, part.fold)
    damaged: dict[str, str] = {}
    ids = {key_of(item): item for item in part.rows["item_id"].to_pylist()}
    with threads(config):
        scores = [
            {
                "item_id": ids[score.item],
                "mean": score.mean,
                "standard_error": score.standard_error,
                "fold": score.fold,
            }
            for score in score_pictures(
                judges,
                _pictures(config, part.rows, damaged, advance),
                companions=_companions(config, judges, part),
                shuffles=config.rank.shuffles,
                seed=_seed(model, part),
            )
        ]
    return Scored(as_rows(config, model.model, scores), damaged)


_COLUMNS: Final = ("item_id", "recipe", "model", "mean", "standard_error", "fold")


def as_rows(config: DatasetConfig, model: str, scores: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Make scores rows of the table: by whom, and of pictures by which recipe."""
    rows = [{"recipe": config.recipe.id, "model": model, **score} for score in scores]
    return pa.Table.from_pylist(rows, schema=pa.schema([SCORES.field(n) for n in _COLUMNS]))


def let_go() -> None:
    """Give back the memory of the networks that scored last."""
    _load.cache_clear()


def judges_of(config: DatasetConfig, model: Model, fold: int) -> Judges:
    """Find the networks of a model; those of the fold, from 0, are kept once they are loaded."""
    from training.distributed import pick_device

    return _judges(config, model, fold, str(pick_device(config.rank.device)))


def _judges(config: DatasetConfig, model: Model, fold: int, device: str) -> Judges:
    folders = folders_of(config, model)
    return _load(tuple(zip(folders, model.snapshots, strict=True)), device, fold)


@lru_cache(maxsize=1)
def _load(runs: tuple[tuple[Path, tuple[str, ...]], ...], device: str, _fold: int) -> Judges:
    """Load networks once for all parts of a fold; those of another fold make room for them."""
    from training.rank import load_judges

    return load_judges(runs, device=device)


def _with_classes(judges: Judges, rows: pa.Table, selection: pa.Table) -> pa.Table:
    """Add the numbers of the classes, and leave out what the networks know nothing of."""
    known = zip(selection["image_id"].to_pylist(), selection["label"].to_pylist(), strict=True)
    labels: dict[Any, Any] = dict(known)
    items: Sequence[Any] = rows["item_id"].to_pylist()
    numbers = judges.classes([labels.get(item.partition("#")[0]) for item in items])
    rows = rows.append_column(_CLASS, pa.array(numbers))
    return rows.filter(pa.array(numbers != _NO_CLASS))


def _folds(rows: pa.Table, k: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    if k == 1:
        return np.zeros(rows.num_rows, np.int64)
    items: Sequence[Any] = rows["item_id"].to_pylist()
    return np.array([fold_of(key_of(item), k) for item in items], np.int64)


def _pictures(
    config: DatasetConfig,
    rows: pa.Table,
    damaged: dict[str, str],
    advance: Callable[[int], None],
) -> Iterator[Pictures]:
    """Read pictures, with their classes where there are any."""
    classes: dict[Any, Any] = {}
    if _CLASS in rows.column_names:
        pairs = zip(rows["item_id"].to_pylist(), rows[_CLASS].to_pylist(), strict=True)
        classes = dict(pairs)
    found = standard_pictures(
        open_catalog(config),
        config.recipe,
        rows,
        batch=config.rank.batch,
        workers=config.run.workers,
        damaged=damaged.__setitem__,
    )
    for items, pixels in found:
        numbers = np.array([classes[item] for item in items], np.int64) if classes else None
        yield [key_of(item) for item in items], pixels, numbers
        advance(len(items))


def _companions(config: DatasetConfig, judges: Judges, part: RankPart) -> Iterator[Pictures]:
    """Read pictures to compare those of a small part with, from everywhere in the set.

    Classes are told to the network one by one, and not to those beside it: any known one will do.
    """
    wanted = judges.pool(part.fold) - part.rows.num_rows
    if wanted <= 0:
        return
    catalog = open_catalog(config)
    others = standardized(catalog, config.recipe, part.rows["item_id"].combine_chunks())
    others = others.filter(pa.array(_folds(others, judges.folds) == part.fold))
    others = evenly(others, wanted)
    for keys, pixels, _ in _pictures(config, others, {}, lambda _: None):
        yield keys, pixels, np.zeros(len(keys), np.int64) if judges.labels else None


def _seed(model: Model, part: RankPart) -> int:
    first = part.rows["item_id"][0].as_py()
    digest = hashlib.sha256(f"{model.model}\0{first}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


@contextmanager
def threads(config: DatasetConfig) -> Iterator[None]:
    """Let PyTorch use the processors that this process may use, and no more than it was told."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, config.run.workers or default_workers()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
