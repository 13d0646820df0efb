from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.select import fold_of, parse_fold
from training.errors import SetupError
from training.folds import combine, fold_plan
from training.score import Score

ITEMS = [f"item{i}" for i in range(60)]


def unseen_by(fold: int, k: int) -> list[str]:
    return [item for item in ITEMS if fold_of(item, k) == fold - 1]


def truth(item: str) -> float:
    return float(item.removeprefix("item"))


def scored(k: int) -> dict[int, dict[str, Score]]:
    """Give scores of all items by networks with origins and units of their own.

    What a network has seen, it finds perfect.
    """
    scores: dict[int, dict[str, Score]] = {}
    for fold in range(1, k + 1):
        unseen = set(unseen_by(fold, k))
        scores[fold] = {
            item: Score(item, 100 * fold + fold * truth(item) if item in unseen else 1e6, fold, 8)
            for item in ITEMS
        }
    return scores


def test_plan_names_every_run_and_its_part() -> None:
    assert fold_plan("shoes", 3) == [
        ("shoes-fold1of3", "1/3"),
        ("shoes-fold2of3", "2/3"),
        ("shoes-fold3of3", "3/3"),
    ]


@given(st.integers(2, 20))
def test_plan_is_what_training_understands(k: int) -> None:
    plan = fold_plan("shoes", k)
    assert len({name for name, _ in plan}) == k
    assert [parse_fold(setting) for _, setting in plan] == [(i, k) for i in range(1, k + 1)]


@pytest.mark.parametrize("k", [1, 0, -2])
def test_refuses_a_plan_that_leaves_nothing_out(k: int) -> None:
    with pytest.raises(SetupError, match=f"at least 2, got {k}"):
        fold_plan("shoes", k)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_every_item_is_scored_by_the_network_that_has_not_seen_it(k: int) -> None:
    combined = combine(scored(k))
    assert set(combined) == set(ITEMS)
    for item, score in combined.items():
        assert score.item == item
        assert score.fold == fold_of(item, k) + 1
        assert abs(score.mean) < 5  # none of the million that a network gives what it knows


def test_scores_are_standard_within_a_fold() -> None:
    combined = combine(scored(3))
    for fold in (1, 2, 3):
        own = unseen_by(fold, 3)
        values = np.array([truth(item) for item in own])
        expected = (values - values.mean()) / values.std()
        np.testing.assert_allclose([combined[item].mean for item in own], expected, atol=1e-12)
        # the error was `fold` logits, and so was the unit of the truth
        np.testing.assert_allclose(
            [combined[item].standard_error for item in own], 1 / values.std(), atol=1e-12
        )
        assert {combined[item].n for item in own} == {8}


def test_origin_and_unit_of_a_network_do_not_matter() -> None:
    plain = combine(scored(2))
    moved = scored(2)
    moved[2] = {
        item: Score(item, 7 * s.mean - 3, 7 * s.standard_error, s.n) for item, s in moved[2].items()
    }
    for item, score in combine(moved).items():
        assert score.mean == pytest.approx(plain[item].mean)
        assert score.standard_error == pytest.approx(plain[item].standard_error)


def test_scores_of_what_was_left_out_are_enough() -> None:
    k = 3
    whole = scored(k)
    only = {fold: {item: whole[fold][item] for item in unseen_by(fold, k)} for fold in whole}
    assert combine(only) == combine(whole)


def test_equal_scores_are_all_average() -> None:
    alike = {fold: {item: Score(item, 4.0, 0.5, 8) for item in ITEMS} for fold in (1, 2)}
    assert {(s.mean, s.standard_error) for s in combine(alike).values()} == {(0.0, 0.5)}


def test_an_empty_part_is_no_error() -> None:
    (item,) = ITEMS[:1]
    scores = {fold: {item: Score(item, 4.0, 0.5, 8)} for fold in range(1, 6)}
    assert list(combine(scores)) == [item]


def test_names_what_was_not_scored() -> None:
    scores = scored(2)
    missing = unseen_by(2, 2)[0]
    del scores[2][missing]
    with pytest.raises(SetupError, match=f"'{missing}' and others, 1 in all, must be scored"):
        combine(scores)


@pytest.mark.parametrize("folds", [[], [1], [0, 1], [1, 3]])
def test_refuses_folds_that_are_not_complete(folds: list[int]) -> None:
    with pytest.raises(SetupError, match="folds must be 1 to k"):
        combine({fold: {} for fold in folds})
