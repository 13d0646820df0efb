"""Which clusters of copies and colourways the page shows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.report.items import Items, Rows, array, cards, floats
from curation.report.model import Cluster, Member
from curation.report.wording import byte_size
from data_catalog.schema import Reason

_LARGEST, _UNSURE, _MEMBERS = 10, 14, 5  # duplicate clusters shown, and members of each
_COLOURWAYS, _SHADES = 8, 16


def duplicate_clusters(items: Items) -> tuple[tuple[Cluster, ...], int]:
    """Choose the largest clusters and those whose members are furthest from their keeper."""
    keeper_of = pc.index_in(array(items.groups["duplicate_of"]), value_set=items.ids)
    keepers = floats(pa.chunked_array([keeper_of]))  # NaN where an item is no copy
    copies = np.flatnonzero(np.isfinite(keepers))
    if not len(copies):
        return (), 0
    heads, cluster = np.unique(keepers[copies].astype(np.int64), return_inverse=True)
    sizes = np.bincount(cluster)
    distance = np.nan_to_num(items.values("distance"))
    furthest = np.zeros(len(heads))
    np.maximum.at(furthest, cluster, distance[copies])
    unsure = [c for c in np.argsort(-furthest, kind="stable")[:_UNSURE] if furthest[c] > 0]
    rest = (c for c in np.argsort(-sizes, kind="stable") if c not in set(unsure))
    largest = [c for c, _ in zip(rest, range(_LARGEST), strict=False)]
    chosen = [(c, "least certain") for c in unsure] + [(c, "among the largest") for c in largest]
    by_cluster = np.argsort(cluster, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    clusters = []
    for c, note in chosen:
        members = copies[by_cluster[starts[c] : starts[c + 1]]]
        members = members[np.argsort(-distance[members], kind="stable")][: _MEMBERS - 1]
        shown = np.concatenate([heads[c : c + 1], members])
        clusters.append(_cluster(items, shown, note, int(sizes[c]) + 1))
    return tuple(clusters), len(heads)


def colourway_clusters(items: Items) -> tuple[tuple[Cluster, ...], int]:
    """Choose the clusters that lost most members to the cap, then the largest."""
    column = items.groups["silhouette_cluster"]
    encoded = array(column).dictionary_encode()
    codes = floats(pa.chunked_array([encoded.indices]))
    known = np.flatnonzero(np.isfinite(codes))
    if not len(known):
        return (), 0
    cluster = codes[known].astype(np.int64)
    sizes = np.bincount(cluster)
    lost = np.bincount(cluster, weights=items.carry([Reason.COLOURWAY])[known])
    chosen = [c for c in np.lexsort((-sizes, -lost))[:_COLOURWAYS] if sizes[c] > 1]
    rank = np.nan_to_num(items.values("colourway_rank"), nan=np.inf)
    clusters = []
    for c in chosen:
        members = known[cluster == c]
        members = members[np.argsort(rank[members], kind="stable")]
        note = f"{lost[c]:,.0f} over the cap" if lost[c] else "within the cap"
        clusters.append(_cluster(items, members[:_SHADES], note, len(members)))
    return tuple(clusters), int(np.count_nonzero(sizes > 1))


def _cluster(items: Items, rows: Rows, note: str, size: int) -> Cluster:
    groups = items.groups.take(rows)
    relations = groups["relation"].to_pylist()
    distances = groups["distance"].to_pylist()
    shown = cards(items, rows)
    sizes = _size_texts(items, rows)
    return Cluster(
        key=shown[0].item_id,
        note=note,
        size=size,
        members=tuple(
            Member(card, Reason(relation) if relation else None, distance, text)
            for card, relation, distance, text in zip(
                shown, relations, distances, sizes, strict=True
            )
        ),
    )


def _size_texts(items: Items, rows: Rows) -> list[str]:
    columns = (items.values(c)[rows].tolist() for c in ("width", "height", "file_bytes"))
    return [
        f"{w:.0f} × {h:.0f} px, {byte_size(b)}" if np.isfinite([w, h, b]).all() else ""
        for w, h, b in zip(*columns, strict=True)
    ]
