from __future__ import annotations

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from curation.fingerprints import fingerprint, pixel_hash
from curation.grouping import DuplicateRules, candidates, group
from curation.registration import Relation
from data_catalog.schema import FEATURES, GROUPS, PAIRS, Reason

COLUMNS = [
    "item_id",
    "width",
    "height",
    "pixel_hash",
    "phash",
    "phash_mirrored",
    "phash_variants",
    "phash256",
    "colour_signature",
    "silhouette",
]
Row = dict[str, object]


def table(*rows: tuple[str, int, bytes]) -> pa.Table:
    """Items of id, side and pixel hash."""
    listed = [{"item_id": i, "width": n, "height": n, "pixel_hash": p} for i, n, p in rows]
    schema = pa.schema([FEATURES.field(name) for name in COLUMNS[:4]])
    return pa.Table.from_pylist(listed, schema=schema)


def pairs(*rows: tuple[str, str, Relation]) -> pa.Table:
    listed = [
        {"recipe": "r", "item_a": a, "item_b": b, "relation": relation.value, "distance": 0.25}
        for a, b, relation in rows
    ]
    return pa.Table.from_pylist(listed, schema=PAIRS)


def by_id(groups: pa.Table) -> dict[str, Row]:
    return {str(row["item_id"]): row for row in groups.to_pylist()}


def test_items_alone_are_alone() -> None:
    groups = group(table(("b", 9, b"b"), ("a", 9, b"a")), pairs())
    assert groups.schema.equals(GROUPS)
    assert groups["item_id"].to_pylist() == ["a", "b"]
    assert groups["duplicate_of"].null_count == groups["silhouette_cluster"].null_count == 2


def test_no_items_no_groups() -> None:
    assert group(table(), pairs()).num_rows == 0


def test_the_larger_is_kept_then_the_lower_id() -> None:
    items = table(("a", 5, b"a"), ("b", 9, b"b"), ("c", 9, b"c"))
    same = Relation.SAME
    found = by_id(group(items, pairs(("a", "b", same), ("a", "c", same), ("b", "c", same))))
    assert [found[k]["duplicate_of"] for k in "abc"] == ["b", None, "b"]
    assert found["a"]["relation"] == Reason.NEAR_DUPLICATE
    assert found["a"]["distance"] == 0.25


def test_what_a_person_accepted_is_kept() -> None:
    items = table(("a", 5, b"a"), ("b", 9, b"b"))
    found = by_id(group(items, pairs(("a", "b", Relation.SAME)), {"a"}))
    assert found["b"]["duplicate_of"] == "a" and found["a"]["duplicate_of"] is None


def test_clusters_are_stars_not_chains() -> None:
    items = table(("a", 9, b"a"), ("b", 8, b"b"), ("c", 7, b"c"))
    found = by_id(group(items, pairs(("a", "b", Relation.SAME), ("b", "c", Relation.SAME))))
    assert found["b"]["duplicate_of"] == "a"
    assert found["c"]["duplicate_of"] is None  # never compared well with a


def test_equal_pixels_collapse_before_anything_else() -> None:
    items = table(("a", 5, b"x"), ("b", 5, b"x"), ("c", 9, b"c"))
    found = by_id(group(items, pairs()))
    assert found["b"]["duplicate_of"] == "a"
    assert found["b"]["relation"] == Reason.PIXEL_DUPLICATE and found["b"]["distance"] == 0
    found = by_id(group(items, pairs(("b", "c", Relation.SAME))))
    assert found["a"]["duplicate_of"] == found["b"]["duplicate_of"] == "c"
    assert found["a"]["relation"] == found["b"]["relation"] == Reason.NEAR_DUPLICATE


def test_mirrored_copies_are_merged_unless_switched_off() -> None:
    items, related = table(("a", 5, b"a"), ("b", 9, b"b")), pairs(("a", "b", Relation.MIRRORED))
    assert by_id(group(items, related))["a"]["relation"] == Reason.MIRRORED_COPY
    apart = group(items, related, config=DuplicateRules(mirrored=False))
    assert apart["duplicate_of"].null_count == 2


@pytest.mark.parametrize("relation", [Relation.SECOND_SHOT, Relation.DIFFERENT])
def test_other_relations_merge_nothing(relation: Relation) -> None:
    groups = group(table(("a", 5, b"a"), ("b", 9, b"b")), pairs(("a", "b", relation)))
    assert groups["duplicate_of"].null_count == groups["silhouette_cluster"].null_count == 2


def test_colourways_form_ranked_clusters_of_keepers() -> None:
    items = table(("a", 7, b"a"), ("b", 9, b"b"), ("c", 8, b"c"), ("d", 5, b"d"))
    way, same = Relation.COLOURWAY, Relation.SAME
    found = by_id(group(items, pairs(("a", "b", way), ("b", "c", way), ("b", "d", same))))
    assert [found[k]["silhouette_cluster"] for k in "abcd"] == ["b", "b", "b", None]
    assert [found[k]["colourway_rank"] for k in "abcd"] == [2, 0, 1, None]
    assert found["a"]["duplicate_of"] is None


def test_a_repeated_id_is_refused() -> None:
    with pytest.raises(ValueError, match="unique"):
        group(table(("a", 5, b"a"), ("a", 9, b"b")), pairs())


@settings(max_examples=40, deadline=None)
@given(data=st.data(), count=st.integers(1, 12))
def test_the_order_of_rows_does_not_matter(data: st.DataObject, count: int) -> None:
    ids = [f"i{k:02d}" for k in range(count)]
    rows = [
        (i, data.draw(st.integers(1, 3)), bytes([data.draw(st.integers(0, 2 * count))]))
        for i in ids
    ]
    two = st.tuples(st.sampled_from(ids), st.sampled_from(ids), st.sampled_from(list(Relation)))
    related = [
        (*sorted(p[:2]), p[2]) for p in data.draw(st.lists(two, max_size=20)) if p[0] != p[1]
    ]
    accepted = data.draw(st.sets(st.sampled_from(ids)))
    expected = group(table(*rows), pairs(*related), accepted)
    mixed = data.draw(st.permutations(rows)), data.draw(st.permutations(related))
    assert group(table(*mixed[0]), pairs(*mixed[1]), accepted).equals(expected)
    keepers = {row["item_id"] for row in expected.to_pylist() if row["duplicate_of"] is None}
    merged = [row for row in expected.to_pylist() if row["duplicate_of"] is not None]
    assert keepers and all(row["duplicate_of"] in keepers for row in merged)


# ---- Candidates. ---------------------------------------------------------------------------------


def scene(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    total = np.zeros((192, 144, 3))
    for cells in (3, 6, 12, 24):
        noise = rng.normal(0, 1, (cells, cells, 3)) * 6 / cells**0.5
        total += cv2.resize(noise, (144, 192), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 14 * total, 0, 255).astype(np.uint8)


def product(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    picture = np.full((192, 144, 3), 250, np.uint8)
    cv2.ellipse(picture, (72, 96), (40, 70), 0, 0, 360, colour, -1)
    return picture


def features(*pictures: NDArray[np.uint8]) -> pa.Table:
    rows = [
        {
            "item_id": f"i{k}",
            "width": picture.shape[1],
            "height": picture.shape[0],
            "pixel_hash": pixel_hash(picture),
            **fingerprint(picture).to_row(),
        }
        for k, picture in enumerate(pictures)
    ]
    schema = pa.schema([FEATURES.field(name) for name in COLUMNS])
    return pa.Table.from_pylist(rows, schema=schema)


def found(items: pa.Table, **options: object) -> set[tuple[int, int]]:
    i, j = candidates(items, **options)  # type: ignore[arg-type]
    return set(zip(i.tolist(), j.tolist(), strict=True))


def test_crops_mirrors_and_borders_are_proposed() -> None:
    whole = scene(1)
    crop = np.ascontiguousarray(whole[7:-7, 5:-5])
    mirror = np.ascontiguousarray(whole[:, ::-1])
    border = np.asarray(cv2.copyMakeBorder(whole, 9, 9, 7, 7, cv2.BORDER_CONSTANT), np.uint8)
    items = features(whole, crop, mirror, border, scene(2), scene(3))
    assert {(0, 1), (0, 2), (0, 3)} <= found(items)
    assert not any({4, 5} & set(pair) for pair in found(items))
    assert (0, 2) not in found(items, config=DuplicateRules(mirrored=False))


def test_colourways_are_proposed_by_silhouette() -> None:
    items = features(product((200, 30, 40)), scene(1), product((20, 60, 190)))
    assert found(items) == {(0, 2)}


def test_only_pairs_with_a_new_item_are_proposed() -> None:
    pictures = [scene(1)[k : 192 - k, k : 144 - k] for k in range(4)]
    items = features(*map(np.ascontiguousarray, pictures))
    full = found(items)
    assert full == {(a, b) for b in range(4) for a in range(b)}
    fresh = np.array([False, True, False, False])
    assert found(items, new=fresh) == {pair for pair in full if 1 in pair}
    assert found(items, new=np.zeros(4, np.bool_)) == set()


def test_blank_pictures_are_proposed_with_nothing() -> None:
    blanks = [np.full((192, 144, 3), level, np.uint8) for level in (240, 250, 255)]
    assert found(features(*blanks)) == set()


def test_equal_pixels_need_no_comparison() -> None:
    assert found(features(scene(1), scene(1), scene(1)[1:-1])) == {(0, 2)}


def test_items_without_fingerprints_take_no_part() -> None:
    items = features(scene(1), scene(1)[1:-1])
    absent = pa.Table.from_pylist([{"item_id": "z"}], schema=items.schema)
    assert found(pa.concat_tables([items, absent])) == {(0, 1)}


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="new"):
        candidates(features(scene(1)), new=np.ones(3, np.bool_))


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValidationError, match="radios"):
        DuplicateRules(radios=3)  # type: ignore[call-arg]


def test_a_good_picture_is_kept_before_a_larger_one_that_is_flagged() -> None:
    items = table(("blurred", 90, b"x"), ("good", 40, b"y"))
    groups = group(items, pairs(("blurred", "good", Relation.SAME)), flagged={"blurred"})
    assert by_id(groups)["blurred"]["duplicate_of"] == "good"
    decided = group(
        items, pairs(("blurred", "good", Relation.SAME)), {"blurred"}, flagged={"blurred"}
    )
    assert by_id(decided)["good"]["duplicate_of"] == "blurred"
