"""Stage: which items show the same thing. Candidates by hashes, confirmed on pixels, kept.

What was compared once is kept in the `pairs` table, so that a rebuild compares new pairs only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import simplejpeg

from curation.grouping import DuplicateRules, candidates, first_of_equal_pixels
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

# Part of every search: raise it when candidates or comparisons change, so that what older code
# found is not mixed with what newer code finds.
RELATE_REVISION: Final = 1

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

    Only pairs with an item that was not searched before are proposed, and only those that were
    never compared are compared. `searches` holds exactly the items of the last search: whatever
    was away at that time is new when it comes back, so that no pair is missed.

    Parameters
    ----------
    features : pyarrow.Table
        `item_id`, `pixel_hash`, `pack`, `thumb_offset`, `thumb_length` of the items to relate.
    pool : callable
        Opens a pool; called only if there is something to compare.
    progress : callable
        Called with the number of pairs compared since the last call.

    Returns
    -------
    pyarrow.Table
        Columns of `data_catalog.schema.PAIRS`: every candidate pair among these items.
    """
    search = search_id(config)
    this_search = (pc.field("recipe") == recipe.id) & (pc.field("search") == search)
    able = features.filter(pa.array(first_of_equal_pixels(features)))["item_id"].combine_chunks()
    searched = catalog.table("searches").read(["item_id"], where=this_search)["item_id"]
    fresh = able.filter(pc.invert(pc.is_in(able, value_set=searched.combine_chunks())))
    if len(fresh):
        proposed = _candidate_ids(catalog, recipe, able, fresh, config)
        known = catalog.table("pairs").read(where=pc.field("recipe") == recipe.id)
        rows = _already_compared(proposed, known, search)
        catalog.table("pairs").append(_to_table(rows, recipe.id, search))
        tasks = list(_tasks(_never_compared(proposed, known), features))
        _compare_all(catalog, recipe, search, tasks, pool, progress)
        _remember(catalog, recipe, search, able)
    pairs = catalog.table("pairs").read(where=this_search)
    present = features["item_id"].combine_chunks()
    both = pc.and_(
        pc.is_in(pairs["item_a"], value_set=present), pc.is_in(pairs["item_b"], value_set=present)
    )
    return _each_once(pairs.filter(both))


def search_id(config: DuplicateRules) -> str:
    """Name a search: the same name proposes and compares alike."""
    rules = f"{RELATE_REVISION}{config.model_dump_json()}"
    return hashlib.sha256(rules.encode()).hexdigest()[:12]


def _candidate_ids(
    catalog: Catalog, recipe: Recipe, able: pa.Array, fresh: pa.Array, config: DuplicateRules
) -> pd.DataFrame:
    """Candidate pairs by id, the lesser id first, each once."""
    where = (pc.field("recipe") == recipe.id) & pc.field("item_id").isin(able)
    items = catalog.table("features").read(CANDIDATE_COLUMNS, where=where).sort_by("item_id")
    ids = items["item_id"].to_numpy(zero_copy_only=False)
    new = pc.is_in(items["item_id"], value_set=fresh).to_numpy()
    first, second = candidates(items, config, new=new)
    left, right = ids[first], ids[second]
    swap = left > right
    pairs = pd.DataFrame(
        {"item_a": np.where(swap, right, left), "item_b": np.where(swap, left, right)}
    )
    pairs = pairs[pairs["item_a"] != pairs["item_b"]]
    return pairs.drop_duplicates().sort_values(["item_a", "item_b"], ignore_index=True)


def _never_compared(proposed: pd.DataFrame, known: pa.Table) -> pd.DataFrame:
    seen = known.select(["item_a", "item_b"]).to_pandas().drop_duplicates()
    merged = proposed.merge(seen, how="left", on=["item_a", "item_b"], indicator=True)
    return merged.loc[merged["_merge"] == "left_only", ["item_a", "item_b"]]


def _already_compared(proposed: pd.DataFrame, known: pa.Table, search: str) -> list[PairRow]:
    """Give rows of pairs that another search compared and this one proposes too."""
    frame = known.to_pandas()
    mine = frame.loc[frame["search"] == search, ["item_a", "item_b"]].drop_duplicates()
    others = frame[frame["search"] != search].drop_duplicates(["item_a", "item_b"])
    found = proposed.merge(others, how="inner", on=["item_a", "item_b"])
    found = found.merge(mine, how="left", on=["item_a", "item_b"], indicator=True)
    found = found[found["_merge"] == "left_only"]
    columns = (found[name] for name in ("item_a", "item_b", "relation", "distance"))
    return [PairRow(*row) for row in zip(*columns, strict=True)]


def _each_once(pairs: pa.Table) -> pa.Table:
    """Drop doubles that a kill between two commits may have left; sort."""
    frame = pairs.to_pandas().drop_duplicates(["item_a", "item_b"])
    frame = frame.sort_values(["item_a", "item_b"])
    return pa.Table.from_pandas(frame[PAIRS.names], schema=PAIRS, preserve_index=False)


def _compare_all(
    catalog: Catalog,
    recipe: Recipe,
    search: str,
    tasks: Sequence[PairTask],
    pool: Callable[[], WorkerPool],
    progress: Callable[[int], None] | None,
) -> None:
    """Compare pairs in a pool; commit what is done every now and then."""
    if not tasks:
        return
    table = catalog.table("pairs")
    rows: list[PairRow] = []
    compare_chunk = partial(_compare_chunk, catalog.standard(recipe.id))
    with pool() as workers:
        for row in workers.map(compare_chunk, tasks, seconds=_SECONDS, give_up=_give_up):
            rows.append(row)
            if progress is not None:
                progress(1)
            if len(rows) >= _COMMIT_EVERY:
                table.append(_to_table(rows, recipe.id, search))
                rows = []
    table.append(_to_table(rows, recipe.id, search))


def _remember(catalog: Catalog, recipe: Recipe, search: str, able: pa.Array) -> None:
    """Make `searches` hold exactly these items; other recipes and rules search anew."""
    table = catalog.table("searches")
    columns = {
        "recipe": pa.array([recipe.id] * len(able), pa.string()),
        "search": pa.array([search] * len(able), pa.string()),
        "item_id": able,
    }
    table.replace(pa.table(columns, schema=table.schema))


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


def _to_table(rows: Sequence[PairRow], recipe_id: str, search: str) -> pa.Table:
    return pa.table(
        {
            "recipe": pa.array([recipe_id] * len(rows), pa.string()),
            "search": pa.array([search] * len(rows), pa.string()),
            "item_a": pa.array([row.item_a for row in rows], pa.string()),
            "item_b": pa.array([row.item_b for row in rows], pa.string()),
            "relation": pa.array([row.relation for row in rows], pa.string()),
            "distance": pa.array([row.distance for row in rows], pa.float32()),
        },
        schema=PAIRS,
    )
