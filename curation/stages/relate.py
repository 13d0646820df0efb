"""Stage: which items show the same thing. Candidates by hashes, confirmed on pixels, kept.

What was compared once is kept in the `pairs` table, so that a rebuild compares new pairs only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import simplejpeg

from curation.grouping import DuplicateRules, candidates
from curation.pool import WorkerPool
from curation.recipe import Recipe
from curation.registration import Prepared, Relation, compare, prepare
from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef, PackStore
from data_catalog.schema import PAIRS, Reason

CANDIDATE_COLUMNS: Final = (
    "item_id",
    "width",
    "height",
    "pixel_hash",
    "phash",
    "phash_mirrored",
    "phash256",
    "phash_variants",
    "colour_signature",
    "silhouette",
)

_COMMIT_EVERY: Final = 50_000
_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class PairTask:
    """Two items to compare, and where their thumbnails are."""

    item_a: str
    item_b: str
    thumb_a: PackRef
    thumb_b: PackRef


@dataclass(frozen=True, slots=True)
class PairRow:
    """One row of the `pairs` table."""

    item_a: str
    item_b: str
    relation: str
    distance: float


def relate(
    catalog: Catalog,
    recipe: Recipe,
    features: pa.Table,
    config: DuplicateRules,
    pool: Callable[[], WorkerPool],
    progress: Callable[[int], None] | None = None,
) -> pa.Table:
    """Bring the `pairs` table up to date for these items, and return their pairs.

    Parameters
    ----------
    features : pyarrow.Table
        Rows of `features` of the items to relate, with thumbnails.
    pool : callable
        Opens a pool; called only if there is something to compare.
    progress : callable
        Called with the number of pairs compared since the last call.

    Returns
    -------
    pyarrow.Table
        Columns of `data_catalog.schema.PAIRS`: every candidate pair among these items.
    """
    pairs = _candidate_ids(features, config)
    table = catalog.table("pairs")
    known = table.read(where=pc.field("recipe") == recipe.id)
    fresh = _unknown(pairs, known)
    if len(fresh):
        tasks = _tasks(fresh, features)
        rows: list[PairRow] = []
        compare_chunk = partial(_compare_chunk, catalog.standard(recipe.id))
        with pool() as workers:
            for row in workers.map(compare_chunk, tasks, seconds=_SECONDS, give_up=_give_up):
                rows.append(row)
                if progress is not None:
                    progress(1)
                if len(rows) >= _COMMIT_EVERY:
                    table.append(_to_table(rows, recipe.id))
                    rows = []
        if rows:
            table.append(_to_table(rows, recipe.id))
        known = table.read(where=pc.field("recipe") == recipe.id)
    return _among(known, pairs)


def _candidate_ids(features: pa.Table, config: DuplicateRules) -> pd.DataFrame:
    """Candidate pairs by id, the lesser id first, each once."""
    first, second = candidates(features.select(CANDIDATE_COLUMNS), config)
    ids = features["item_id"].to_numpy(zero_copy_only=False)
    left, right = ids[first], ids[second]
    swap = left > right
    pairs = pd.DataFrame(
        {"item_a": np.where(swap, right, left), "item_b": np.where(swap, left, right)}
    )
    return pairs.drop_duplicates().sort_values(["item_a", "item_b"], ignore_index=True)


def _unknown(pairs: pd.DataFrame, known: pa.Table) -> pd.DataFrame:
    seen = known.select(["item_a", "item_b"]).to_pandas().drop_duplicates()
    merged = pairs.merge(seen, how="left", on=["item_a", "item_b"], indicator=True)
    return merged.loc[merged["_merge"] == "left_only", ["item_a", "item_b"]]


def _among(known: pa.Table, pairs: pd.DataFrame) -> pa.Table:
    frame = known.to_pandas().drop_duplicates(["item_a", "item_b"])
    kept = pairs.merge(frame, how="inner", on=["item_a", "item_b"])
    return pa.Table.from_pandas(kept[PAIRS.names], schema=PAIRS, preserve_index=False)


def _tasks(pairs: pd.DataFrame, features: pa.Table) -> Iterator[PairTask]:
    places = features.select(["item_id", "pack", "thumb_offset", "thumb_length"]).to_pandas()
    places = places.set_index("item_id")
    columns = []
    for side in ("item_a", "item_b"):
        found = places.loc[pairs[side]]
        columns.append(
            [
                PackRef(str(pack), int(offset), int(length))
                for pack, offset, length in found.itertuples(index=False)
            ]
        )
    for item_a, item_b, thumb_a, thumb_b in zip(
        pairs["item_a"], pairs["item_b"], *columns, strict=True
    ):
        yield PairTask(item_a, item_b, thumb_a, thumb_b)


def _compare_chunk(store: PackStore, chunk: Sequence[PairTask]) -> list[PairRow]:
    """Compare some pairs; runs in a worker. Each thumbnail is decoded and prepared once."""
    refs = list({ref for task in chunk for ref in (task.thumb_a, task.thumb_b)})
    thumbs: dict[PackRef, Prepared] = {
        ref: prepare(simplejpeg.decode_jpeg(data, "RGB"))
        for ref, data in zip(refs, store.read_many(refs), strict=True)
    }
    rows = []
    for task in chunk:
        found = compare(thumbs[task.thumb_a], thumbs[task.thumb_b])
        rows.append(PairRow(task.item_a, task.item_b, found.relation.value, found.distance))
    return rows


def _give_up(task: PairTask, reason: Reason, detail: str) -> PairRow:
    # Nothing is merged on the word of a comparison that could not be made.
    return PairRow(task.item_a, task.item_b, Relation.DIFFERENT.value, 1.0)


def _to_table(rows: Sequence[PairRow], recipe_id: str) -> pa.Table:
    return pa.table(
        {
            "recipe": pa.array([recipe_id] * len(rows), pa.string()),
            "item_a": pa.array([row.item_a for row in rows], pa.string()),
            "item_b": pa.array([row.item_b for row in rows], pa.string()),
            "relation": pa.array([row.relation for row in rows], pa.string()),
            "distance": pa.array([row.distance for row in rows], pa.float32()),
        },
        schema=PAIRS,
    )
