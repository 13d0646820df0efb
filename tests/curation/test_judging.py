from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.judging import (
    DERIVED,
    OF_SCORES,
    Findings,
    Rules,
    judge_groups,
    judge_images,
    judge_scores,
    verdicts,
)
from curation.scorers import Scorer
from data_catalog.schema import FAILURES, FEATURES, GROUPS, Reason, Verdict

D = Scorer.DISCRIMINATOR

GOOD: dict[str, Any] = {
    "item_id": "a",
    "image_id": "a",
    "recipe": "r",
    "width": 600,
    "height": 800,
    "file_bytes": 50_000,
    "upscale": 0.6,
    "frames": 1,
    "colours": 257,
    "chroma": 0.2,
    "blankness": 0.4,
    "pattern": 0.1,
    "background_complexity": 0.1,
    "centre_offset": 0.02,
    "edges_touched": 0,
    "fill": 0.5,
    "sharpness": 1.0,
}

BROKEN: dict[Reason, dict[str, Any]] = {
    Reason.TOO_SMALL: {"width": 299},
    Reason.TOO_FEW_BYTES: {"file_bytes": 900},
    Reason.UPSCALED: {"upscale": 2.1},
    Reason.ODD_ASPECT: {"width": 3000},
    Reason.ANIMATED: {"frames": 2},
    Reason.MONOCHROME: {"colours": 256},
    Reason.BLANK: {"blankness": 0.99},
    Reason.PATTERN: {"pattern": 0.9},
    Reason.BUSY_BACKGROUND: {"background_complexity": 0.9},
    Reason.OFF_CENTRE: {"centre_offset": 0.5},
    Reason.CUT_OFF: {"edges_touched": 1},
    Reason.TINY_SUBJECT: {"fill": 0.01},
    Reason.BLURRED: {"sharpness": 0.2},
}


def features(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{**GOOD, **row} for row in rows], schema=FEATURES)


def broken_by(row: dict[str, Any], rules: Rules) -> set[Reason]:
    findings = judge_images(features(row), rules)
    return {reason for reason, mask in findings.masks.items() if mask[0]}


def test_a_good_picture_breaks_nothing() -> None:
    assert broken_by({}, Rules()) == set()


@pytest.mark.parametrize("reason", list(BROKEN))
def test_each_rule_finds_its_defect_and_no_other(reason: Reason) -> None:
    assert broken_by(BROKEN[reason], Rules()) == {reason}


@pytest.mark.parametrize("reason", list(BROKEN))
def test_a_rule_that_is_off_is_silent(reason: Reason) -> None:
    rules = Rules.model_validate({reason.value: {"action": "off"}})
    assert broken_by(BROKEN[reason], rules) == set()


def test_every_rule_on_images_is_tested_above() -> None:
    assert {rule.reason for rule in Rules().on_images()} == set(BROKEN)


def test_thresholds_name_columns_that_exist() -> None:
    known = set(FEATURES.names) | set(DERIVED)
    for rule in Rules().all():
        assert rule.meaning
        assert {test.column for test in rule.thresholds()} <= known


def test_a_measure_that_is_not_known_breaks_nothing() -> None:
    silent = dict.fromkeys(("centre_offset", "edges_touched", "fill", "sharpness"))
    assert broken_by(silent, Rules()) == set()


@given(st.floats(0, 2, width=32), st.floats(0, 2, width=32))
def test_the_threshold_itself_is_allowed(value: float, limit: float) -> None:
    rules = Rules.model_validate({"blurred": {"min_sharpness": limit}})
    expected = {Reason.BLURRED} if value < limit else set()
    assert broken_by({"sharpness": value}, rules) == expected


def test_group_rules() -> None:
    rows = [
        {"item_id": "a", "relation": None, "colourway_rank": None},
        {"item_id": "b", "relation": "near_duplicate", "colourway_rank": None},
        {"item_id": "c", "relation": None, "colourway_rank": 11},
        {"item_id": "d", "relation": None, "colourway_rank": 12},
    ]
    found = judge_groups(pa.Table.from_pylist(rows, schema=GROUPS), Rules())
    assert found.masks[Reason.NEAR_DUPLICATE].tolist() == [False, True, False, False]
    assert found.masks[Reason.COLOURWAY].tolist() == [False, False, False, True]


def test_rules_on_scores_go_by_place_and_are_silent_without_one() -> None:
    places = np.array([0.499, 0.5, 2.0, np.nan, 50.0, 99.75, 99.85], np.float32)
    found = judge_scores({D: places}, Rules())
    assert np.flatnonzero(found.masks[Reason.LOW_D_SCORE]).tolist() == [0]
    assert np.flatnonzero(found.masks[Reason.HIGH_D_SCORE]).tolist() == [6]
    assert set(found.actions.values()) == {"flag"}
    rules = Rules.model_validate(
        {"low_d_score": {"action": "off"}, "high_d_score": {"action": "reject"}}
    )
    found = judge_scores({D: places}, rules)
    assert found.actions == {Reason.HIGH_D_SCORE: "reject"}


def test_each_scorer_has_rules_of_its_own() -> None:
    places = np.array([0.1, 1.99, 2.0, 100.0], np.float32)
    found = judge_scores({Scorer.DENSITY: places}, Rules())
    assert {reason: mask.tolist() for reason, mask in found.masks.items()} == {
        Reason.UNLIKE_OTHERS: [True, True, False, False]
    }
    both = judge_scores({Scorer.DENSITY: places, D: places[::-1]}, Rules())
    assert both.masks[Reason.UNLIKE_OTHERS].tolist() == [True, True, False, False]
    assert both.masks[Reason.LOW_D_SCORE].tolist() == [False, False, False, True]
    assert judge_scores({}, Rules()).masks == {}
    assert [rule.reason for rule in Rules().on_scores(Scorer.DENSITY)] == [Reason.UNLIKE_OTHERS]
    assert {rule.reason for rule in Rules().on_scores()} == set(OF_SCORES)


@given(
    st.lists(st.floats(0, 100, width=32) | st.just(np.nan), max_size=20),
    st.floats(0, 100),
    st.floats(0, 100),
)
def test_a_looser_rule_on_scores_finds_no_more(places: list[float], a: float, b: float) -> None:
    def found(limit: float) -> np.ndarray:
        rules = Rules.model_validate({"low_d_score": {"min_percentile": limit}})
        given = {D: np.array(places, np.float32)}
        return judge_scores(given, rules).masks[Reason.LOW_D_SCORE]

    assert not (found(min(a, b)) & ~found(max(a, b))).any()


def judged(
    masks: dict[Reason, list[bool]],
    failures: list[str | None],
    decisions: dict[str, tuple[str, str]] | None = None,
) -> list[dict[str, Any]]:
    rules = {rule.reason: rule.action for rule in Rules().all()}
    ids = np.array([f"i{k}" for k in range(len(failures))], dtype=object)
    findings = Findings(
        {reason: np.array(mask, dtype=bool) for reason, mask in masks.items()},
        {reason: rules[reason] for reason in masks},
    )
    table = verdicts(ids, ids, np.array(failures, dtype=object), findings, decisions or {})
    return list(table.to_pylist())


def test_rejection_outweighs_a_flag_and_both_reasons_are_kept() -> None:
    (row,) = judged({Reason.BLURRED: [True], Reason.BLANK: [True]}, [None])
    assert row["verdict"] == Verdict.REJECTED
    assert row["reasons"] == [Reason.BLURRED, Reason.BLANK]
    (row,) = judged({Reason.BLURRED: [True]}, [None])
    assert row["verdict"] == Verdict.FLAGGED


def test_a_person_wins_over_every_rule_but_not_over_a_missing_picture() -> None:
    rows = judged(
        {Reason.BLANK: [True, False, False]},
        [None, None, Reason.CORRUPT.value],
        {"i0": ("accepted", "ann"), "i1": ("rejected", "bob"), "i2": ("accepted", "ann")},
    )
    assert [row["verdict"] for row in rows] == ["accepted", "rejected", "failed"]
    assert [row["decided_by"] for row in rows] == ["ann", "bob", "rules"]
    assert rows[0]["reasons"] == [Reason.BLANK, Reason.DECIDED]


def test_the_place_by_score_is_kept_beside_the_verdict() -> None:
    ids = np.array(["b", "a"], dtype=object)
    nothing = Findings({}, {})
    places = {D: np.array([7, np.nan], "f4"), Scorer.DENSITY: np.array([1, 2], "f4")}
    table = verdicts(ids, ids, np.array([None, None]), nothing, {}, places)
    assert table["d_percentile"].to_pylist() == [None, 7.0]
    assert table["density_percentile"].to_pylist() == [2.0, 1.0]
    without = verdicts(ids, ids, np.array([None, None]), nothing, {})
    assert without.schema == table.schema
    assert without["d_percentile"].null_count == 2


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.sampled_from([None, *sorted(FAILURES)])),
        max_size=20,
    )
)
def test_the_four_verdicts_add_up(cases: list[tuple[bool, bool, str | None]]) -> None:
    rows = judged(
        {Reason.BLURRED: [c[0] for c in cases], Reason.BLANK: [c[1] for c in cases]},
        [c[2] for c in cases],
    )
    assert len(rows) == len(cases)
    assert {row["verdict"] for row in rows} <= {verdict.value for verdict in Verdict}
    assert all(row["reasons"] or row["verdict"] == Verdict.ACCEPTED for row in rows)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError):
        Rules.model_validate({"blurred": {"min_sharpnes": 1}})
    with pytest.raises(ValidationError):
        Rules.model_validate({"blured": {}})
