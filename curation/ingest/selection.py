"""What is in the set right now: the latest observations, filtered by today's config."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.ingest.filters import parse_fields
from curation.ingest.offers import Common
from data_catalog.schema import Reason

# The stubs of pyarrow follow the type of every column; here the schema says what they are.
_Column: TypeAlias = Any

CURRENT: Final = pa.schema(
    [
        pa.field(
            "id", pa.string(), nullable=False
        ),  # image_id, or unread-… where there are no bytes
        pa.field("image_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),  # of the first observation
        pa.field("locator", pa.string(), nullable=False),
        pa.field("label", pa.string()),  # the first that any observation has
        pa.field("tags", pa.list_(pa.string()), nullable=False),  # of all observations
        pa.field("fields", pa.string()),  # the first that any observation has; a JSON object
        pa.field("failure", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("observations", pa.int64(), nullable=False),  # how many were merged
    ]
)


def current(observations: pa.Table, sources: Sequence[Common]) -> pa.Table:
    """Reduce observations to one row for each image, and one for each thing without bytes.

    The latest observation of each (source, locator) counts. Patterns and filters of the sources
    are applied to what is stored, so that a tightened filter takes effect without reading a file.
    "First" is by the order of the sources in the config, then by locator. Images that were taken
    down are left out. The result does not depend on the order of the rows.

    Parameters
    ----------
    observations : pa.Table
        Of `schema.OBSERVATIONS`.
    sources
        Configs of the `[[sources]]`, in order; observations of other sources do not count.

    Returns
    -------
    pa.Table
        Of `CURRENT`, sorted by `id`.
    """
    latest = _latest(observations, [s.name for s in sources])
    kept = _apply_filters(latest, sources)
    if kept.num_rows == 0:
        return CURRENT.empty_table()
    return _merge(_with_ids(kept))


def unread_id(source: str, locator: str) -> str:
    """Name an item that has no bytes to be named after."""
    digest = hashlib.sha256(f"{source}\0{locator}".encode())
    return f"unread-{digest.hexdigest()[:32]}"


def _latest(observations: pa.Table, names: Sequence[str]) -> pa.Table:
    """Keep the last row of each (source, locator), sorted by order of source and locator."""
    rank = pc.index_in(observations.column("source"), value_set=pa.array(names, pa.string()))
    chosen = observations.append_column("rank", rank).filter(pc.is_valid(rank)).combine_chunks()
    if chosen.num_rows == 0:
        return chosen
    # One number for source and locator, in their order; then the latest row of each number.
    distinct = chosen.column("locator").combine_chunks().dictionary_encode()
    names_in_order = np.asarray(pc.array_sort_indices(distinct.dictionary), dtype=np.int64)
    position = np.empty(len(names_in_order), dtype=np.int64)
    position[names_in_order] = np.arange(len(names_in_order))
    places = _numpy(chosen.column("rank")).astype(np.int64) * len(position)
    places += position[np.asarray(distinct.indices, dtype=np.int64)]
    order = np.lexsort((_numpy(chosen.column("observed_at").cast(pa.int64())), places))
    last = np.ones(len(order), dtype=bool)
    last[:-1] = np.diff(places[order]) > 0
    latest = chosen.take(order[last])
    # A row with neither image nor failure marks an archive that was read to its end. What was
    # taken down has no place in the set.
    something = pc.or_(
        pc.is_valid(latest.column("image_id")), pc.is_valid(latest.column("failure"))
    )
    failure: _Column = latest.column("failure")
    forgotten: _Column = pc.equal(failure, pa.scalar(Reason.FORGOTTEN.value))
    return latest.filter(pc.and_not(something, pc.fill_null(forgotten, False)))


def _apply_filters(rows: pa.Table, sources: Sequence[Common]) -> pa.Table:
    keep: NDArray[np.bool_] | None = None
    for number, source in enumerate(sources):
        keeps = source.keeps()
        if keeps is None:
            continue
        if keep is None:
            keep = np.ones(rows.num_rows, dtype=bool)
        at = np.flatnonzero(_numpy(rows.column("rank")) == number)
        part = rows.select(["locator", "tags", "fields", "failure"]).take(at)
        columns = [part.column(i).to_pylist() for i in range(4)]
        # A failure without metadata (a bad line of the table) passes: it is not the filter's.
        keep[at] = [
            (failure is not None and tags is None and fields is None)
            or keeps(locator, tuple(tags or ()), parse_fields(fields))
            for locator, tags, fields, failure in zip(*columns, strict=True)
        ]
    return rows if keep is None else rows.filter(keep)


def _with_ids(rows: pa.Table) -> pa.Table:
    ids = rows.column("image_id").combine_chunks()
    missing = np.flatnonzero(_numpy(pc.is_null(ids)))
    if len(missing):
        part = rows.select(["source", "locator"]).take(missing)
        unread = [
            unread_id(source, locator)
            for source, locator in zip(*(c.to_pylist() for c in part.columns), strict=True)
        ]
        ids = pc.replace_with_mask(ids, pc.is_null(ids), pa.array(unread, pa.string()))
    return rows.append_column("id", ids)


def _merge(rows: pa.Table) -> pa.Table:
    """Merge rows of one id; they come in the order that says which is the first."""
    groups = _codes(rows.column("id"))  # numbered by first appearance
    count = int(groups.max()) + 1
    _, first = np.unique(groups, return_index=True)
    merged = rows.select(["id", "image_id", "source", "locator", "failure", "detail"]).take(first)
    merged = (
        merged.append_column("label", _first_valid(rows.column("label"), groups, count))
        .append_column("fields", _first_valid(rows.column("fields"), groups, count))
        .append_column("tags", _union(rows.column("tags"), groups, count))
        .append_column("observations", pa.array(np.bincount(groups, minlength=count)))
    )
    return merged.select(CURRENT.names).cast(CURRENT).sort_by("id")


def _first_valid(column: _Column, groups: NDArray[np.int64], count: int) -> _Column:
    rows = np.flatnonzero(_numpy(pc.is_valid(column)))
    first = np.full(count, -1, dtype=np.int64)
    first[groups[rows[::-1]]] = rows[::-1]  # of repeated indices the last assignment stays
    return column.take(pa.array(first, mask=first < 0))


def _union(column: _Column, groups: NDArray[np.int64], count: int) -> Any:
    """Join the lists of each group, in order, without repeats; a null list is an empty one."""
    lists = column.combine_chunks()
    values = pc.list_flatten(lists)
    owner = groups[_numpy(pc.list_parent_indices(lists))]
    codes = _codes(values)
    pairs = owner * (int(codes.max(initial=0)) + 1) + codes
    _, first = np.unique(pairs, return_index=True)
    chosen = first[np.lexsort((first, owner[first]))]
    offsets = np.zeros(count + 1, dtype=np.int32)
    np.cumsum(np.bincount(owner[chosen], minlength=count), out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values.take(chosen))


def _codes(column: _Column) -> NDArray[np.int64]:
    """Give equal values equal numbers, by first appearance."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(array.dictionary_encode().indices, dtype=np.int64)


def _numpy(column: _Column) -> NDArray[np.generic]:
    return np.asarray(
        column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    )
