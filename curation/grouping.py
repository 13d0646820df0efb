"""Propose pairs of like pictures, and group what was confirmed. Tables in, tables out.

Groups are stars around a keeper: every duplicate has been compared with its keeper itself. Chains,
in which the first and the last have nothing in common, cannot arise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from curation.fingerprints import SIGNATURE_SIDE, VARIANTS
from curation.hamming import near_pairs, near_pairs_between
from curation.registration import Relation
from data_catalog.schema import GROUPS, Reason

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
Edges = tuple[Indices, Indices]

_SILHOUETTE_BYTES: Final = 32
_REASONS: Final = {
    Relation.SAME.value: Reason.NEAR_DUPLICATE.value,
    Relation.MIRRORED.value: Reason.MIRRORED_COPY.value,
}


class DuplicateRules(BaseModel):
    """How widely like pictures are sought. What is found is confirmed on pixels afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    radius: int = Field(
        6, ge=0, le=10, description="bits of 64 in which two perceptual hashes may differ"
    )
    mirrored: bool = Field(True, description="seek copies that are flipped left to right")
    colourways: bool = Field(True, description="seek the same silhouette in other colours")
    silhouette_radius: int = Field(
        16, ge=0, le=32, description="bits of 256 in which two silhouettes may differ"
    )
    max_aspect_ratio: float = Field(
        1.35, ge=1, le=1.35, description="of width / height of two pictures that are compared"
    )
    max_colour_difference: float = Field(
        100,
        ge=0,
        le=255,
        description="levels, mean over 4 × 4 fields; pairs above it are not compared, unless both "
        "pictures have a silhouette",
    )


# ---- Candidates. ---------------------------------------------------------------------------------


def candidates(
    items: pa.Table, config: DuplicateRules | None = None, *, new: Mask | None = None
) -> Edges:
    """Propose the pairs of items that are worth comparing pixel by pixel.

    Parameters
    ----------
    items : Table
        Columns `item_id`, `phash`, `phash_mirrored`, `phash_variants`, `colour_signature`,
        `silhouette`, `width`, `height` of the features table. With `pixel_hash`, only the first
        item (by `item_id`) of equal pixels takes part: `group` knows about the others.
    config : DuplicateRules, optional
    new : ndarray of shape (N,), bool, optional
        Propose only pairs with at least one of these items.

    Returns
    -------
    i, j : ndarray of shape (M,), int64
        Rows of `items`, i < j, sorted, each pair once.

    Raises
    ------
    ValueError
        If `new` does not have one value an item.
    """
    config = config or DuplicateRules()
    count = items.num_rows
    fresh = np.ones(count, np.bool_) if new is None else np.asarray(new, np.bool_)
    if fresh.shape != (count,):
        raise ValueError(f"`new` must have one value an item, {count}, got shape {fresh.shape}")
    able = first_of_equal_pixels(items)
    found = [_by_hash(items, config, able, fresh)]
    if config.colourways:
        found.append(_by_silhouette(items, config, able))
    i = np.concatenate([pair[0] for pair in found])
    j = np.concatenate([pair[1] for pair in found])
    keep = (i != j) & (fresh[i] | fresh[j])
    keep[keep] &= _compatible(items, config, i[keep], j[keep])
    return _once(i[keep], j[keep], count)


def _by_hash(items: pa.Table, config: DuplicateRules, able: Mask, fresh: Mask) -> Edges:
    """Join every window's hash with the hashes of the whole, the flipped and the borderless."""
    rows, variants = _variants(items)
    take = able[rows]
    rows, variants = rows[take], variants[take]
    whole, flipped = _words(items["phash"])[rows], _words(items["phash_mirrored"])[rows]
    queries = [whole, variants[:, -1], *([flipped] if config.mirrored else [])]
    windows, owner = variants.ravel(), np.repeat(rows, VARIANTS)
    asked, asker = np.concatenate(queries), np.tile(rows, len(queries))
    if fresh.all():
        return _joined(windows, owner, asked, asker, config.radius)
    # A pair of old items has been judged before: join new with all, and all with new.
    parts = (
        _joined(windows[fresh[owner]], owner[fresh[owner]], asked, asker, config.radius),
        _joined(windows, owner, asked[fresh[asker]], asker[fresh[asker]], config.radius),
    )
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _joined(
    windows: NDArray[np.uint64],
    owner: Indices,
    asked: NDArray[np.uint64],
    asker: Indices,
    radius: int,
) -> Edges:
    i, j, _ = near_pairs_between(windows, asked, radius)
    return owner[i], asker[j]


def _by_silhouette(items: pa.Table, config: DuplicateRules, able: Mask) -> Edges:
    """Join silhouettes: 256 bits in four words, of which one has at most a quarter of the bits."""
    column = items["silhouette"].to_pylist()
    have = [value is not None and len(value) == _SILHOUETTE_BYTES for value in column]
    rows = np.flatnonzero(np.array(have, np.bool_) & able).astype(np.int64)
    if not len(rows):
        return rows, rows
    joined = b"".join(column[k] for k in rows)
    packed = np.frombuffer(joined, np.uint8).reshape(-1, _SILHOUETTE_BYTES)
    bits = np.unpackbits(packed, axis=1).reshape(-1, 64, 4)
    # Every fourth bit: each word sees the whole outline, so that fewer silhouettes share a word.
    spread = np.packbits(bits.swapaxes(1, 2), axis=2)
    words = np.ascontiguousarray(spread).view("<u8")[..., 0].astype(np.uint64)
    quarter = config.silhouette_radius // 4
    pairs = [near_pairs(np.ascontiguousarray(words[:, k]), quarter) for k in range(4)]
    i = np.concatenate([pair[0] for pair in pairs])
    j = np.concatenate([pair[1] for pair in pairs])
    i, j = _once(i, j, len(rows))
    near = np.bitwise_count(words[i] ^ words[j]).sum(axis=1) <= config.silhouette_radius
    return rows[i[near]], rows[j[near]]


def _compatible(items: pa.Table, config: DuplicateRules, i: Indices, j: Indices) -> Mask:
    """Leave out pairs of another shape or, without silhouettes, of quite other colours."""
    aspect = _numbers(items, "width") / np.maximum(_numbers(items, "height"), 1)
    ratio = aspect[i] / np.maximum(aspect[j], 1e-9)
    shape = np.maximum(ratio, 1 / np.maximum(ratio, 1e-9)) <= config.max_aspect_ratio
    outlined = np.array([bool(value) for value in items["silhouette"].to_pylist()], np.bool_)
    difference = _colour_difference(items, i, j)
    alike: Mask = shape & (
        (outlined[i] & outlined[j]) | (difference <= config.max_colour_difference)
    )
    return alike


def _colour_difference(items: pa.Table, i: Indices, j: Indices) -> NDArray[np.float64]:
    """Mean difference of R - G and B - G over the fields, as they lie or flipped; 0 if unknown."""
    size = SIGNATURE_SIDE * SIGNATURE_SIDE * 3
    column = items["colour_signature"].to_pylist()
    known = np.array([value is not None and len(value) == size for value in column], np.bool_)
    blank = bytes(size)
    joined = b"".join(value if have else blank for value, have in zip(column, known, strict=True))
    shape = (-1, SIGNATURE_SIDE, SIGNATURE_SIDE, 3)
    rgb = np.frombuffer(joined, np.uint8).reshape(shape).astype(np.int16)
    chroma = rgb[..., ::2] - rgb[..., 1:2]
    result = np.zeros(len(i))
    for first in range(0, len(i), 1 << 18):  # bounded memory
        part = slice(first, first + (1 << 18))
        x, y = chroma[i[part]], chroma[j[part]]
        straight = np.abs(x - y).mean(axis=(1, 2, 3))
        flipped = np.abs(x - y[:, :, ::-1]).mean(axis=(1, 2, 3))
        result[part] = np.minimum(straight, flipped)
    return np.where(known[i] & known[j], result, 0.0)


def first_of_equal_pixels(items: pa.Table) -> Mask:
    """Mask of the items that stand for all with their pixels: the first by `item_id`."""
    able = np.ones(items.num_rows, np.bool_)
    if "pixel_hash" not in items.column_names:
        return able
    first: dict[bytes, int] = {}
    ids, hashes = items["item_id"].to_pylist(), items["pixel_hash"].to_pylist()
    for row in sorted(range(len(ids)), key=ids.__getitem__):
        if hashes[row] is not None:
            able[row] = first.setdefault(hashes[row], row) == row
    return able


def _variants(items: pa.Table) -> tuple[Indices, NDArray[np.uint64]]:
    """Rows that have variants, and those as (len(rows), VARIANTS)."""
    column = items["phash_variants"].to_pylist()
    have = [value is not None and len(value) == 8 * VARIANTS for value in column]
    rows = np.flatnonzero(np.array(have, np.bool_)).astype(np.int64)
    joined = b"".join(column[row] for row in rows)
    return rows, np.frombuffer(joined, "<u8").astype(np.uint64).reshape(-1, VARIANTS)


def _words(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Hashes as they were before `to_int64`; 0 where there is none."""
    values: NDArray[np.int64] = column.fill_null(0).to_numpy()
    return values.astype(np.int64).view(np.uint64)


def _numbers(items: pa.Table, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = items[name].fill_null(0).to_numpy().astype(np.float64)
    return values


def _once(i: Indices, j: Indices, count: int) -> Edges:
    keys = np.unique(np.minimum(i, j) * np.int64(count) + np.maximum(i, j))
    return keys // max(count, 1), keys % max(count, 1)


# ---- Groups. -------------------------------------------------------------------------------------


def group(
    items: pa.Table,
    pairs: pa.Table,
    accepted: Collection[str] = (),
    config: DuplicateRules | None = None,
    *,
    flagged: Collection[str] = (),
) -> pa.Table:
    """Choose a keeper for every set of duplicates, and name the colourway clusters.

    The better of two items is the one that a person accepted, then one that no rule flags (a good
    picture must not be lost to a blurred enlargement of it), then the one with more pixels, then
    the lower id. Equal pixels collapse first. Then, from the best item on, whatever is the same or
    mirrored and not taken yet becomes a duplicate of it. A colourway cluster is a keeper, its
    colourways and theirs; it bears the id of its best item, which has rank 0.

    What a person rejected stays where it would be without that word: a keeper goes on keeping its
    copies out, and a copy takes nothing with it.

    Parameters
    ----------
    items : Table
        `item_id`, `width`, `height`, `pixel_hash`; each id once, in any order.
    pairs : Table
        Confirmed pairs, schema `PAIRS`; pairs of unknown items are left out.
    accepted : collection of str
        Items that a person accepted: a copy must not take their place.
    flagged : collection of str
        Items that a rule on one image flags.
    config : DuplicateRules, optional
        `mirrored` and `colourways` switch those relations off.

    Returns
    -------
    Table
        Schema `GROUPS`, a row an item, sorted by `item_id`.

    Raises
    ------
    ValueError
        If an `item_id` occurs twice.
    """
    config = config or DuplicateRules()
    ids, pixels = _by_priority(items, frozenset(accepted), frozenset(flagged))
    place = {item: number for number, item in enumerate(ids)}
    if len(place) != len(ids):
        raise ValueError(f"`item_id` must be unique, got {len(ids) - len(place)} repeated")
    merged = {Relation.SAME.value, *([Relation.MIRRORED.value] if config.mirrored else [])}
    best = _best_of_equal(pixels)
    keeper = list(best)
    how: list[tuple[str, float] | None] = [
        None if own == number else (Reason.PIXEL_DUPLICATE.value, 0.0)
        for number, own in enumerate(best)
    ]
    for a, b, relation, distance in _edges(pairs, place, merged, best):
        if keeper[a] == a and keeper[b] == b:
            keeper[b], how[b] = a, (_REASONS[relation], distance)
    for number, own in enumerate(best):  # copies of what turned out to be a duplicate itself
        if own != number and keeper[own] != own:
            keeper[number], how[number] = keeper[own], how[own]
    alike = {Relation.COLOURWAY.value} if config.colourways else set()
    cluster, rank = _clusters(_edges(pairs, place, alike, keeper), len(ids))
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return pa.table(
        {
            "item_id": [ids[k] for k in order],
            "duplicate_of": [ids[keeper[k]] if keeper[k] != k else None for k in order],
            "relation": [reason[0] if (reason := how[k]) else None for k in order],
            "distance": [reason[1] if (reason := how[k]) else None for k in order],
            "silhouette_cluster": [None if (c := cluster[k]) is None else ids[c] for k in order],
            "colourway_rank": [rank[k] for k in order],
        },
        schema=GROUPS,
    )


def _by_priority(
    items: pa.Table, accepted: frozenset[str], flagged: frozenset[str]
) -> tuple[list[str], list[bytes | None]]:
    """Ids and pixel hashes, the best item first."""
    rows = list(
        zip(
            items["item_id"].to_pylist(),
            (_numbers(items, "width") * _numbers(items, "height")).tolist(),
            items["pixel_hash"].to_pylist(),
            strict=True,
        )
    )
    rows.sort(key=lambda row: (row[0] not in accepted, row[0] in flagged, -row[1], row[0]))
    return [row[0] for row in rows], [row[2] for row in rows]


def _best_of_equal(pixels: list[bytes | None]) -> list[int]:
    """For each place the first one with equal pixels."""
    first: dict[bytes, int] = {}
    return [
        number if value is None else first.setdefault(value, number)
        for number, value in enumerate(pixels)
    ]


def _edges(
    pairs: pa.Table, place: dict[str, int], relations: Collection[str], represented: list[int]
) -> Iterator[tuple[int, int, str, float]]:
    """Pairs as (better place, worse place, relation, distance), the best place first.

    Each place is exchanged for the one that stands for it; of several pairs of the same two the
    nearest counts.
    """
    nearest: dict[tuple[int, int], tuple[float, str]] = {}
    columns = (pairs[name].to_pylist() for name in ("item_a", "item_b", "relation", "distance"))
    for item_a, item_b, relation, distance in zip(*columns, strict=True):
        if relation not in relations or item_a not in place or item_b not in place:
            continue
        a, b = sorted((represented[place[item_a]], represented[place[item_b]]))
        if a != b:
            found = (float(distance), str(relation))
            nearest[a, b] = min(nearest.get((a, b), found), found)
    for a, b in sorted(nearest):
        distance, relation = nearest[a, b]
        yield a, b, relation, distance


def _clusters(
    edges: Iterator[tuple[int, int, str, float]], count: int
) -> tuple[list[int | None], list[int | None]]:
    """Clusters of colourways: the head's place and the rank within the cluster, for each place.

    A head takes its colourways and theirs, and no further: black and white of one thing may not
    be known for colourways of each other, but a chain would drift to other things.
    """
    neighbours: dict[int, list[int]] = {}
    for a, b, _, _ in edges:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    head: list[int | None] = [None] * count
    rank: list[int | None] = [None] * count
    for a in sorted(neighbours):
        if head[a] is not None:
            continue
        near = neighbours[a]
        family = {a, *near, *(c for b in near if head[b] is None for c in neighbours[b])}
        free = sorted(place for place in family if head[place] is None)
        if len(free) > 1:
            for number, place in enumerate(free):
                head[place], rank[place] = a, number
    return head, rank
