"""What is scored together comes from everywhere; what a ranking came to, in figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.judging import HighDScore, LowDScore, Rules
from curation.scorers import Scorer
from curation.stages.ranking import evenly, figures, gone, spread, standardized, standing
from curation.stages.standardize import MAX_PARTITIONS
from data_catalog.catalog import Catalog
from data_catalog.schema import FEATURES, VERDICTS
from tests.curation.stages.conftest import RECIPE
from tests.curation.stages.test_scores import scored

D = Scorer.DISCRIMINATOR


def places(count: int) -> pa.Table:
    return pa.table({"at": np.arange(count)})


@given(st.integers(0, 3000), st.integers(1, 500))
def test_each_row_is_in_one_part_and_parts_are_read_front_to_back(count: int, size: int) -> None:
    parts = [part["at"].to_pylist() for part in spread(places(count), size)]
    assert sorted(row for part in parts for row in part) == list(range(count))
    assert all(part == sorted(part) and part for part in parts)
    assert len(parts) <= MAX_PARTITIONS
    if parts:
        assert max(map(len, parts)) - min(map(len, parts)) <= 16


def test_each_part_is_from_everywhere() -> None:
    for part in spread(places(4000), 200):
        at = part["at"].to_numpy()
        assert at[0] < 400
        assert at[-1] >= 3600


@pytest.mark.parametrize(("have", "want", "first", "last"), [(100, 5, 0, 99), (3, 5, 0, 2)])
def test_some_from_everywhere(have: int, want: int, first: int, last: int) -> None:
    at = evenly(places(have), want)["at"].to_pylist()
    assert len(at) == len(set(at)) == min(have, want)
    assert (at[0], at[-1]) == (first, last)


def test_companions_are_looked_for_among_the_standardized(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    rows = [
        {"item_id": item, "image_id": item, "recipe": RECIPE.id, "pack": pack, "offset": offset}
        for item, pack, offset in (("a", "q", 1), ("b", "p", 2), ("c", "p", 1), ("d", None, None))
    ]
    catalog.table("features").append(pa.Table.from_pylist(rows, schema=FEATURES))
    found = standardized(catalog, RECIPE, pa.array(["b"]))
    assert found["item_id"].to_pylist() == ["c", "a"]


def judged(catalog: Catalog, verdicts: dict[str, tuple[str, list[str]]]) -> None:
    rows = [
        {"item_id": item, "verdict": verdict, "reasons": reasons, "decided_by": "rules"}
        for item, (verdict, reasons) in verdicts.items()
    ]
    catalog.table("verdicts").replace(pa.Table.from_pylist(rows, schema=VERDICTS))


def test_places_are_among_what_no_other_rule_rejects(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    scores = scored({"a": 0.0, "b": 3.0, "c": 1.0, "d": 2.0, "gone": -1.0})
    assert standing(catalog, scores)["item_id"].to_pylist() == ["gone", "a", "c", "d", "b"]
    judged(
        catalog,
        {
            "a": ("rejected", ["blank"]),
            "b": ("accepted", []),
            "c": ("rejected", ["low_d_score"]),
            "d": ("flagged", ["blurred", "low_d_score"]),
            "e": ("failed", ["corrupt"]),
            "f": ("rejected", ["unlike_others"]),
        },
    )
    assert sorted(gone(catalog).to_pylist()) == ["a", "e"]
    stay = standing(catalog, scores)
    assert stay["item_id"].to_pylist() == ["c", "d", "b"]
    assert stay["place"].to_pylist() == pytest.approx([100 / 6, 50, 500 / 6])


def rules(**values: object) -> Rules:
    return Rules.model_validate(values)


def test_figures_count_what_the_rules_would_find(tmp_path: Path) -> None:
    scores = scored({f"i{n:03d}": float(n) for n in range(100)})
    stay = standing(Catalog(tmp_path), scores)
    found = figures(D, scores, stay, Rules())
    assert (found.scored, found.low, found.high) == (100, 0, 0)
    assert figures(Scorer.DENSITY, scores, stay, Rules()).low == 2
    wide = rules(
        low_d_score=LowDScore(min_percentile=10, action="reject"),
        high_d_score=HighDScore(max_percentile=90),
    )
    found = figures(D, scores, stay, wide)
    assert [found.low, found.high] == [10, 10]
    off = rules(low_d_score=LowDScore(min_percentile=10, action="off"))
    assert figures(D, scores, stay, off).low == 0


def test_more_noise_is_less_stable(tmp_path: Path) -> None:
    means = {f"i{n:03d}": float(n % 7) for n in range(100)}
    found = []
    for error in (0.0, 0.5, 1.0, 10.0):
        scores = scored(means, standard_error=error)
        found.append(figures(D, scores, standing(Catalog(tmp_path), scores), Rules()))
    stabilities = [f.stability for f in found if f.stability is not None]
    assert stabilities == sorted(stabilities, reverse=True)
    assert stabilities[0] == 1
    assert stabilities[-1] == 0
    assert [f.standard_error for f in found] == pytest.approx([0, 0.5, 1, 10])


def test_stability_is_the_correlation_of_two_rankings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    true, error = rng.normal(size=4000), 0.7
    one, other = (true + rng.normal(scale=error, size=4000) for _ in range(2))
    scores = scored({f"i{n:04d}": float(x) for n, x in enumerate(one)}, standard_error=error)
    found = figures(D, scores, standing(Catalog(tmp_path), scores), Rules())
    assert found.stability == pytest.approx(np.corrcoef(one, other)[0, 1], abs=0.03)


def test_too_few_scores_tell_nothing(tmp_path: Path) -> None:
    for scores in (scored({}), scored({"a": 1.0}), scored({"a": 1.0, "b": 1.0, "c": 1.0})):
        stay = standing(Catalog(tmp_path), scores)
        assert figures(D, scores, stay, Rules()).stability is None
