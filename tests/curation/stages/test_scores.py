"""Scores: which items lack one, which row counts, and the place of each among all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.recipe import Recipe
from curation.scorers import Scorer, density_name, scorer_of
from curation.stages.scores import (
    current_model,
    current_scores,
    finish_scores,
    percentiles,
    read_scores,
    unscored,
    write_scores,
)
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, ConflictError
from data_catalog.models import register
from data_catalog.schema import FEATURES, SCORES
from tests.curation.stages.conftest import RECIPE
from tests.data_catalog.test_models import model

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
M = "m@1"
OLD, NEW = (density_name("own-1", sample) for sample in ("ffffffff", "00000000"))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "root")


def scored(scores: dict[str, float], name: str = M, hour: int = 0, **values: Any) -> pa.Table:
    rows = [
        {
            "item_id": item,
            "recipe": RECIPE.id,
            "model": name,
            "mean": mean,
            "standard_error": 0.5,
            "scored_at": NOON + timedelta(hours=hour),
            **values,
        }
        for item, mean in scores.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCORES)


def standardized(*items: str, recipe: Recipe = RECIPE, pack: str | None = "p") -> pa.Table:
    rows = [
        {
            "item_id": item,
            "image_id": item,
            "recipe": recipe.id,
            "pack": pack,
            "offset": 100 - ord(item[0]),
            "length": 7,
        }
        for item in items
    ]
    return pa.Table.from_pylist(rows, schema=FEATURES)


def means(catalog: Catalog, name: str = M) -> dict[str, float]:
    rows = read_scores(catalog, RECIPE, name)
    assert rows.schema == SCORES
    found = dict(zip(rows["item_id"].to_pylist(), rows["mean"].to_pylist(), strict=True))
    assert len(found) == rows.num_rows
    return found


# ---- Places. -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ([], []),
        ([7.0], [50.0]),
        ([3.0, 1.0, 2.0, 4.0], [62.5, 12.5, 37.5, 87.5]),
        ([5.0, 5.0, 5.0], [50.0] * 3),
        ([1.0, 2.0, 2.0, 3.0], [12.5, 50.0, 50.0, 87.5]),
        ([2.0, np.nan, 1.0], [75.0, np.nan, 25.0]),
        ([-np.inf, 0.0, -0.0, np.inf], [12.5, 50.0, 50.0, 87.5]),
    ],
)
def test_places_by_hand(given_: list[float], expected: list[float]) -> None:
    found = percentiles(given_)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


@given(st.lists(st.floats(-9, 9, width=32) | st.sampled_from([0.0, 1.0]), max_size=60))
def test_places_follow_the_scores(scores: list[float]) -> None:
    found = percentiles(scores)
    assert ((found > 0) & (found < 100)).all()
    lower = np.less.outer(scores, scores)
    assert np.array_equal(np.less.outer(found, found), lower)  # so that equals stay equal, too
    if scores:
        assert float(found.mean()) == pytest.approx(50, abs=1e-3)
        share = 100 * (lower.sum(0) + np.equal.outer(scores, scores).sum(0) / 2) / len(scores)
        np.testing.assert_allclose(found, share, rtol=1e-6)


@given(st.permutations(list(range(12))), st.integers(1, 100))
def test_just_the_share_is_below_a_limit(order: list[int], limit: int) -> None:
    below = int((percentiles(np.array(order)) < limit).sum())
    assert abs(below - 12 * limit / 100) <= 0.5


def test_places_are_of_one_axis() -> None:
    with pytest.raises(ValueError, match=r"`means` must have one axis, got shape \(2, 2\)"):
        percentiles(np.zeros((2, 2)))


# ---- What lacks a score. -------------------------------------------------------------------------


def test_unscored_are_standardized_items_without_a_score_in_the_order_of_packs(
    catalog: Catalog,
) -> None:
    assert unscored(catalog, RECIPE, M).num_rows == 0
    features = catalog.table("features")
    features.append(standardized("a", "b", "c"))
    features.append(standardized("d", pack="o"))
    features.append(standardized("e", pack=None))  # failed
    features.append(standardized("f", recipe=Recipe(width=64, height=64)))
    features.append(standardized("b"))  # as after a kill between two commits
    expected = [("d", "o", 0, 7), ("c", "p", 1, 7), ("b", "p", 2, 7), ("a", "p", 3, 7)]
    found = unscored(catalog, RECIPE, M)
    assert [tuple(row.values()) for row in found.to_pylist()] == expected
    assert found.column_names == ["item_id", "pack", "offset", "length"]
    write_scores(catalog, scored({"c": 1.0, "a": 2.0}))
    write_scores(catalog, scored({"d": 1.0}, recipe="another"))
    write_scores(catalog, scored({"d": 1.0}, "n@1"))
    assert unscored(catalog, RECIPE, M)["item_id"].to_pylist() == ["d", "b"]
    assert unscored(catalog, RECIPE, "n@1")["item_id"].to_pylist() == ["c", "b", "a"]


# ---- What is read and written. -------------------------------------------------------------------


def test_scores_are_of_one_model_and_recipe(catalog: Catalog) -> None:
    assert means(catalog) == {}
    write_scores(catalog, scored({"a": 1.0, "b": 2.0}))
    write_scores(catalog, scored({"a": 5.0}, "n@1"))
    write_scores(catalog, scored({"a": 9.0}, recipe="another"))
    assert means(catalog) == {"a": 1.0, "b": 2.0}
    assert means(catalog, "n@1") == {"a": 5.0}
    assert read_scores(catalog, RECIPE, M, item_id="b")["mean"].to_pylist() == [2.0]
    assert current_scores(catalog, RECIPE) == {}  # no model is registered
    register(catalog, model("n@1"))
    found = current_scores(catalog, RECIPE)
    assert found.keys() == {Scorer.DISCRIMINATOR}
    assert found[Scorer.DISCRIMINATOR]["mean"].to_pylist() == [5.0]
    assert current_scores(catalog, RECIPE, item_id="b") == {}
    register(catalog, model("o@1"))
    assert current_scores(catalog, RECIPE) == {}  # it has scored nothing


def test_a_density_counts_once_its_ranking_has_come_to_its_end(catalog: Catalog) -> None:
    other = Recipe(width=64, height=64)

    def density() -> str | None:
        return current_model(catalog, RECIPE, Scorer.DENSITY)

    write_scores(catalog, scored({"a": 1.0, "b": 2.0}, OLD))
    assert density() is None
    finish_scores(catalog, RECIPE, OLD)
    assert density() == OLD
    write_scores(catalog, scored({"c": 1.0}, OLD, hour=2))  # one more, killed before the end
    assert current_scores(catalog, RECIPE)[Scorer.DENSITY].num_rows == 3
    write_scores(catalog, scored({"a": 7.0}, NEW, hour=3))  # another sample, killed as well
    assert density() == OLD
    write_scores(catalog, scored({"b": 8.0, "c": 9.0}, NEW, hour=4))
    write_scores(catalog, scored({"a": 5.0}, recipe=other.id, name=OLD))
    write_scores(catalog, scored({"a": 5.0}))
    finish_scores(catalog, RECIPE, NEW)
    assert density() == NEW
    # What the old sample said is of no use any more, but to other recipes.
    assert means(catalog, OLD) == {}
    assert read_scores(catalog, other, OLD).num_rows == 1
    assert means(catalog) == {"a": 5.0}
    assert current_model(catalog, other, Scorer.DENSITY) is None
    version = catalog.table("scores").version()
    finish_scores(catalog, RECIPE, NEW)
    assert catalog.table("scores").version() == version


def test_a_run_that_is_called_density_is_none() -> None:
    assert scorer_of("density-own-1@kimg-000001.000") is Scorer.DISCRIMINATOR
    assert scorer_of(density_name("own-1", "12345678")) is Scorer.DENSITY


@given(st.permutations(range(4)), st.permutations(range(6)))
def test_of_several_rows_the_latest_counts_whatever_their_order(
    hours: list[int], order: list[int]
) -> None:
    from curation.stages.scores import _latest

    rows = pa.concat_tables(
        [*(scored({"a": float(h)}, hour=h) for h in hours), scored({"b": 7.0}), scored({"c": 8.0})]
    )
    found = _latest(rows.take(pa.array(order)))
    assert sorted(zip(*(found[n].to_pylist() for n in ("item_id", "mean")), strict=True)) == [
        ("a", 3.0),
        ("b", 7.0),
        ("c", 8.0),
    ]


def test_the_time_is_now_where_it_is_left_out(catalog: Catalog) -> None:
    before = datetime.now(UTC)
    write_scores(catalog, scored({"a": 1.0}).drop_columns(["scored_at"]))
    (when,) = read_scores(catalog, RECIPE, M)["scored_at"].to_pylist()
    assert before <= when <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (scored({"a": 1.0, "b": np.nan}), "must be a finite number, got nan for b by m@1"),
        (scored({"a": np.inf}), "that network has diverged"),
        (scored({"a": 1.0}, recipe=None), "must not be null"),
        (scored({"a": 1.0}, scored_at=None), "must not be null"),
    ],
)
def test_what_is_no_score_is_refused(catalog: Catalog, rows: pa.Table, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        write_scores(catalog, rows)
    assert catalog.table("scores").version() == -1


# ---- The end of a ranking. -----------------------------------------------------------------------


def places(catalog: Catalog, name: str = M) -> dict[str, float]:
    rows = read_scores(catalog, RECIPE, name)
    return dict(zip(rows["item_id"].to_pylist(), rows["percentile"].to_pylist(), strict=True))


def test_the_end_gives_every_score_its_place_and_leaves_others_alone(catalog: Catalog) -> None:
    finish_scores(catalog, RECIPE, M)  # nothing was scored
    assert catalog.table("scores").version() == -1
    write_scores(catalog, scored({"a": 1.0, "b": 3.0}))
    write_scores(catalog, scored({"z": 9.0}, "n@1", percentile=42.0))
    write_scores(catalog, scored({"z": 9.0}, recipe="another"))
    finish_scores(catalog, RECIPE, M)
    assert places(catalog) == {"a": 25.0, "b": 75.0}
    assert places(catalog, "n@1") == {"z": 42.0}
    assert catalog.table("scores").read().num_rows == 4
    version = catalog.table("scores").version()
    finish_scores(catalog, RECIPE, M)  # all is in place
    assert catalog.table("scores").version() == version
    write_scores(catalog, scored({"c": 2.0}))
    finish_scores(catalog, RECIPE, M)
    assert places(catalog) == pytest.approx({"a": 100 / 6, "c": 50.0, "b": 500 / 6})


def test_a_kill_between_commits_is_made_good(catalog: Catalog) -> None:
    catalog.table("features").append(standardized(*"abcd"))
    write_scores(catalog, scored({"a": 1.0, "b": 2.0}))
    # Killed. The next one finds what is left; meanwhile another had done a part of it.
    left = unscored(catalog, RECIPE, M)["item_id"].to_pylist()
    assert left == ["d", "c"]
    write_scores(catalog, scored({"c": 9.0}, hour=1))
    write_scores(catalog, scored({"d": 4.0, "c": 3.0}, hour=2))
    assert means(catalog) == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    finish_scores(catalog, RECIPE, M)
    assert catalog.table("scores").read().num_rows == 4
    assert places(catalog) == {"a": 12.5, "b": 37.5, "c": 62.5, "d": 87.5}
    assert unscored(catalog, RECIPE, M).num_rows == 0


def test_rows_from_before_recipes_were_kept_are_not_used_and_not_lost(catalog: Catalog) -> None:
    old = pa.Table.from_pylist([{"item_id": "a", "model": M, "mean": 1.0}], schema=SCORES)
    catalog.table("scores").append(old)
    assert means(catalog) == {}
    write_scores(catalog, scored({"a": 2.0}))
    finish_scores(catalog, RECIPE, M)
    assert means(catalog) == {"a": 2.0}
    assert catalog.table("scores").read().num_rows == 2


def test_scores_that_come_in_at_the_end_are_not_overwritten(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation.stages import scores

    write_scores(catalog, scored({"a": 1.0}))

    def late(found: Any) -> Any:
        write_scores(catalog, scored({"b": 2.0}))
        return percentiles(found)

    monkeypatch.setattr(scores, "percentiles", late)
    with pytest.raises(ConflictError):
        finish_scores(catalog, RECIPE, M)
    assert means(catalog) == {"a": 1.0, "b": 2.0}


def test_folds_are_brought_to_one_unit(catalog: Catalog) -> None:
    """Two networks have neither origin nor unit in common; the lowest of each are the lowest."""
    one = scored({"a": 0.0, "b": 2.0, "c": 4.0}, fold=1, standard_error=1.0)
    other = scored({"d": 100.0, "e": 300.0, "f": 500.0}, fold=2, standard_error=None)
    write_scores(catalog, pa.concat_tables([one, other]))
    rows = read_scores(catalog, RECIPE, M).sort_by("item_id")
    unit = np.sqrt(1.5)
    assert rows["mean"].to_pylist() == pytest.approx([-unit, 0, unit] * 2)
    assert rows["standard_error"].to_pylist()[:3] == pytest.approx([unit / 2] * 3)
    assert rows["standard_error"].to_pylist()[3:] == [None] * 3
    assert rows["fold"].to_pylist() == [1] * 3 + [2] * 3
    (lone,) = read_scores(catalog, RECIPE, M, item_id="d").to_pylist()
    assert lone == rows.to_pylist()[3]
    finish_scores(catalog, RECIPE, M)
    assert sorted(catalog.table("scores").read()["mean"].to_pylist())[-1] == 500  # as it was given
    places = read_scores(catalog, RECIPE, M).sort_by("item_id")["percentile"].to_pylist()
    assert places == pytest.approx([100 / 6, 50, 500 / 6] * 2)


def test_a_fold_of_equal_scores_has_no_spread(catalog: Catalog) -> None:
    write_scores(catalog, scored({"a": 3.0, "b": 3.0}, fold=1))
    assert read_scores(catalog, RECIPE, M)["mean"].to_pylist() == [0, 0]
