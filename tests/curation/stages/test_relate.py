"""Like pictures are found, and what was compared once is not compared again."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from curation.grouping import DuplicateRules
from curation.pool import WorkerPool
from curation.registration import Relation
from curation.stages.relate import relate
from tests.curation.stages.conftest import RECIPE, HostilePool, Stock, jpeg


def again(data: bytes, quality: int = 60) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def mirrored(data: bytes) -> bytes:
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(data)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def found(stock: Stock, pool: Any = lambda: WorkerPool(1), **options: Any) -> dict[Any, str]:
    """Relate everything; give the relation by the names of the two."""
    features = stock.catalog.table("features").read()
    pairs = relate(stock.catalog, RECIPE, features, DuplicateRules(), pool, **options)
    names = {image_id: name for name, image_id in stock.ids.items()}
    for row in pairs.to_pylist():
        assert row["item_a"] < row["item_b"]
        assert row["recipe"] == RECIPE.id
    return {
        frozenset((names[row["item_a"]], names[row["item_b"]])): row["relation"]
        for row in pairs.to_pylist()
    }


def nobody() -> WorkerPool:
    raise AssertionError("nothing is left to compare")


@pytest.fixture
def shoes(stock: Stock) -> Stock:
    originals = {f"{seed}": jpeg(seed) for seed in range(6)}
    sneaker = jpeg(3)
    copies = {"copy": again(originals["0"]), "flipped": mirrored(sneaker)}
    stock.store(originals | copies)
    stock.standardize()
    return stock


def test_copies_are_found_and_kept(shoes: Stock) -> None:
    told: list[int] = []
    relations = found(shoes, progress=told.append)
    assert relations[frozenset(("0", "copy"))] == Relation.SAME.value
    assert relations[frozenset(("3", "flipped"))] == Relation.MIRRORED.value
    likeness = {Relation.SAME.value, Relation.MIRRORED.value}
    assert sum(relation in likeness for relation in relations.values()) == 2
    assert sum(told) == len(relations) == shoes.catalog.table("pairs").read().num_rows
    # Again: the same, and no pool is opened for it.
    assert found(shoes, nobody) == relations
    assert shoes.catalog.table("pairs").version() == 0


def test_a_new_item_is_compared_alone(shoes: Stock) -> None:
    before = found(shoes)
    shoes.store({"late": again(jpeg(1), 40)})
    shoes.standardize()
    told: list[int] = []
    after = found(shoes, progress=told.append)
    assert after[frozenset(("1", "late"))] == Relation.SAME.value
    assert {pair for pair in after if "late" not in pair} == set(before)
    assert sum(told) == len(after) - len(before)


def test_only_pairs_of_these_items_are_given(shoes: Stock) -> None:
    everything = found(shoes)
    features = shoes.catalog.table("features").read()
    without = features.filter(pc.not_equal(features["item_id"], shoes.ids["copy"]))
    pairs = relate(shoes.catalog, RECIPE, without, DuplicateRules(), nobody)
    assert shoes.ids["copy"] not in [*pairs["item_a"].to_pylist(), *pairs["item_b"].to_pylist()]
    assert pairs.num_rows == sum("copy" not in pair for pair in everything)


def test_rows_that_are_there_twice_count_once(shoes: Stock) -> None:
    relations = found(shoes)
    table = shoes.catalog.table("pairs")
    table.append(table.read())
    assert found(shoes, nobody) == relations


def test_nothing_is_merged_on_a_comparison_that_failed(shoes: Stock) -> None:
    class Deadly(HostilePool):
        def map(self, function: Any, tasks: Any, **options: Any) -> Any:
            return WorkerPool.map(self, die, tasks, **options)

    relations = found(shoes, lambda: Deadly({}))
    assert relations
    assert set(relations.values()) == {Relation.DIFFERENT.value}


def die(chunk: Any) -> Any:
    import os

    os._exit(1)


def test_no_items_and_one_item_have_no_pairs(stock: Stock) -> None:
    stock.store({"a": jpeg(1)})
    stock.standardize()
    features = stock.catalog.table("features").read()
    for rows in (features.slice(0, 0), features):
        pairs = relate(stock.catalog, RECIPE, rows, DuplicateRules(), nobody)
        assert isinstance(pairs, pa.Table)
        assert pairs.num_rows == 0


def test_two_that_were_never_there_together_are_compared_when_they_are(shoes: Stock) -> None:
    features = shoes.catalog.table("features").read()
    for away in ("copy", "0"):
        there = features.filter(pc.field("item_id") != shoes.ids[away])
        relate(shoes.catalog, RECIPE, there, DuplicateRules(), lambda: WorkerPool(1))
    assert found(shoes)[frozenset(("0", "copy"))] == Relation.SAME.value


def test_other_rules_search_anew_but_compare_nothing_twice(shoes: Stock) -> None:
    before = found(shoes)
    features = shoes.catalog.table("features").read()
    narrow = DuplicateRules(radius=2, mirrored=False, colourways=False)
    pairs = relate(shoes.catalog, RECIPE, features, narrow, nobody)
    ids = {image_id: name for name, image_id in shoes.ids.items()}
    near = {frozenset((ids[r["item_a"]], ids[r["item_b"]])) for r in pairs.to_pylist()}
    assert frozenset(("0", "copy")) in near
    assert near <= set(before)
    assert found(shoes, nobody) == before
