"""Which items belong to a split."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.stages.splits import SplitConfig, count_shares, part_of

TAGS = ("pov", "blue", "old")
LABELS = ("shoe", "boot")
SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string()),
        pa.field("label", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("fields", pa.string()),
        pa.field("source", pa.string()),
    ]
)


def table(*rows: dict[str, Any]) -> pa.Table:
    named = [{"item_id": str(number), **row} for number, row in enumerate(rows)]
    return pa.Table.from_pylist(named, schema=SCHEMA)


def kept(split: SplitConfig, *rows: dict[str, Any]) -> list[int]:
    return [int(name) for name in part_of(table(*rows), split)["item_id"].to_pylist()]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "label": st.sampled_from((*LABELS, None)),
            "tags": st.none() | st.lists(st.sampled_from(TAGS), max_size=3),
            "fields": st.none() | st.sampled_from(['{"kids": true}', '{"kids": false}', "{", "[]"]),
            "source": st.sampled_from(("shop-a", "shop-b", "street")),
        }
    ),
    max_size=12,
)
SPLITS = st.builds(
    SplitConfig,
    name=st.just("x"),
    tags=st.lists(st.sampled_from(TAGS), max_size=2).map(tuple),
    without_tags=st.lists(st.sampled_from(TAGS), max_size=2).map(tuple),
    labels=st.lists(st.sampled_from(LABELS), max_size=2).map(tuple),
    where=st.sampled_from(({}, {"source": "shop-.*"}, {"kids": "true"}, {"absent": ".*"})),
)


@given(ROWS, SPLITS)
def test_an_item_belongs_if_all_conditions_hold(
    rows: list[dict[str, Any]], split: SplitConfig
) -> None:
    """Each condition on its own, and what all of them keep is what each of them keeps."""
    sets = [set(range(len(rows)))]
    for key, value in split.filter().items():
        sets.append(set(kept(SplitConfig(name="x", **{key: value}), *rows)))
    assert set(kept(split, *rows)) == set.intersection(*sets)
    assert kept(split, *rows) == sorted(kept(split, *rows))


@given(ROWS, st.sampled_from(TAGS))
def test_with_a_tag_and_without_it_are_all(rows: list[dict[str, Any]], tag: str) -> None:
    with_it = SplitConfig(name="with", tags=(tag,))
    without = SplitConfig(name="without", without_tags=(tag,))
    assert sorted(kept(with_it, *rows) + kept(without, *rows)) == list(range(len(rows)))
    assert set(kept(with_it, *rows)) == {
        number for number, row in enumerate(rows) if tag in (row["tags"] or ())
    }
    shares = count_shares(table(*rows), [with_it, without])
    assert (shares.several, shares.none) == (0, 0)


@given(ROWS, st.lists(SPLITS, max_size=4))
def test_items_in_several_splits_and_in_none_are_counted(
    rows: list[dict[str, Any]], splits: list[SplitConfig]
) -> None:
    parts = [set(kept(split, *rows)) for split in splits]
    times = [sum(number in part for part in parts) for number in range(len(rows))]
    shares = count_shares(table(*rows), splits)
    assert shares.several == sum(count > 1 for count in times)
    assert shares.none == times.count(0)


def test_of_tags_all_are_needed_and_of_labels_one() -> None:
    rows: tuple[dict[str, Any], ...] = (
        {"label": "shoe", "tags": ["pov", "blue"]},
        {"label": "boot", "tags": ["pov"]},
        {"label": None, "tags": None},
    )
    assert kept(SplitConfig(name="x", tags=("pov", "blue")), *rows) == [0]
    assert kept(SplitConfig(name="x", without_tags=("old", "blue")), *rows) == [1, 2]
    assert kept(SplitConfig(name="x", labels=("shoe", "boot")), *rows) == [0, 1]
    assert kept(SplitConfig(name="x"), *rows) == [0, 1, 2]


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("shop", "shop", True),
        ("shop", "workshop", False),  # the whole field
        ("shop", "shops", False),
        ("(?i)SHOP-.*", "shop-7", True),
        ("true", True, True),
        ("True", True, False),
        ("7", 7, True),
        (r"\d\.5", 2.5, True),
        ("red|blue", ["green", "blue"], True),  # one entry is enough
        ("red", [], False),
        (".*", None, False),
        ("ü", "ü", True),
    ],
)
def test_expressions_match_whole_fields(pattern: str, value: Any, matches: bool) -> None:
    split = SplitConfig(name="x", where={"brand": pattern})
    row = {"fields": json.dumps({"brand": value})}
    assert kept(split, row, {"fields": None}, {"fields": "{}"}) == [0] * matches


def test_the_source_is_the_items_own_whatever_its_fields_say() -> None:
    split = SplitConfig(name="x", where={"source": "shop-.*"})
    claims = {"source": "street", "fields": json.dumps({"source": "shop-a"})}
    assert kept(split, {"source": "shop-a"}, claims) == [0]


def test_a_wrong_expression_is_named() -> None:
    with pytest.raises(ValidationError, match=r"`brand` must be a regular expression, got '\('"):
        SplitConfig(name="x", where={"brand": "("})


def test_a_split_tells_its_conditions() -> None:
    split = SplitConfig(name="pov", tags=("pov",), where={"source": "shop"})
    assert str(split) == """split 'pov' (tags = ["pov"], where = {"source": "shop"})"""
    assert split.filter() == {"tags": ["pov"], "where": {"source": "shop"}}
    assert str(SplitConfig(name="all")) == "split 'all' (no condition)"
