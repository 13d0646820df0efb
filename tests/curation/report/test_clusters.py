from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.report.clusters import colourway_clusters, duplicate_clusters
from curation.report.items import Items, align
from curation.scorers import BY_PLACE
from data_catalog.schema import GROUPS, VERDICTS, Reason

COUNT = 12
IDS = [f"item{i:02d}" for i in range(COUNT)]


def build(**groups: dict[int, Any]) -> Items:
    """Twelve items; columns of the groups are given as row to value."""
    columns = {c: [given.get(i) for i in range(COUNT)] for c, given in groups.items()}
    filled = {f.name: columns.get(f.name, [None] * COUNT) for f in GROUPS}
    verdicts = {
        "item_id": IDS,
        "image_id": IDS,
        "verdict": ["accepted"] * COUNT,
        "reasons": [["colourway"] if i == 11 else [] for i in range(COUNT)],
        "decided_by": ["rules"] * COUNT,
        **{column: [None] * COUNT for column in BY_PLACE},
    }
    return align(
        pa.table({"item_id": IDS, "width": [10] * COUNT}),
        pa.table(verdicts, schema=VERDICTS),
        pa.table({**filled, "item_id": IDS}, schema=GROUPS),
        {},
    )


def test_without_groups_there_are_no_clusters() -> None:
    assert duplicate_clusters(build()) == ((), 0)
    assert colourway_clusters(build()) == ((), 0)


def test_the_keeper_comes_first_then_the_furthest() -> None:
    items = build(
        duplicate_of={1: IDS[5], 2: IDS[5], 8: IDS[9]},
        relation={1: "near_duplicate", 2: "mirrored_copy", 8: "pixel_duplicate"},
        distance={1: 0.02, 2: 0.1, 8: 0.0},
    )
    (unsure, exact), count = duplicate_clusters(items)
    assert count == 2
    assert [m.card.item_id for m in unsure.members] == [IDS[5], IDS[2], IDS[1]]
    assert [m.relation for m in unsure.members] == [
        None,
        Reason.MIRRORED_COPY,
        Reason.NEAR_DUPLICATE,
    ]
    assert (unsure.note, exact.note) == ("least certain", "among the largest")


def test_a_large_cluster_tells_its_size_though_few_are_shown() -> None:
    items = build(
        duplicate_of=dict.fromkeys(range(1, 10), IDS[0]),
        relation=dict.fromkeys(range(1, 10), "near_duplicate"),
        distance={i: 0.01 * i for i in range(1, 10)},
    )
    (cluster,), _ = duplicate_clusters(items)
    assert cluster.size == 10 and len(cluster.members) == 5


def test_a_copy_whose_keeper_is_gone_is_in_no_cluster() -> None:
    assert duplicate_clusters(build(duplicate_of={1: "elsewhere"})) == ((), 0)


def test_clusters_over_the_cap_come_before_larger_ones() -> None:
    items = build(
        silhouette_cluster={**dict.fromkeys(range(5), IDS[0]), 10: IDS[10], 11: IDS[10], 7: IDS[7]},
        colourway_rank={**{i: 4 - i for i in range(5)}, 10: 0, 11: 1, 7: 0},
    )
    (over, within), count = colourway_clusters(items)
    assert count == 2
    assert (over.key, over.note, over.size) == (IDS[10], "1 over the cap", 2)
    assert [m.card.item_id for m in within.members] == IDS[4::-1]
