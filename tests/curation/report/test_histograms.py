from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.report.histograms import beyond, drawn, histogram, rule_text
from curation.report.model import RuleView
from curation.stages.scores import percentiles
from data_catalog.schema import Reason

FINITE = st.floats(-1e9, 1e9, allow_subnormal=False)


def rule(column: str, threshold: float | None, op: str = ">") -> RuleView:
    return RuleView(Reason.BLANK, column, threshold, op, "reject", "")  # type: ignore[arg-type]


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=FINITE | st.just(np.nan)), FINITE)
def test_every_measured_item_is_in_one_bin(values: np.ndarray, threshold: float) -> None:
    h = histogram("blankness", values, [rule("blankness", threshold)])
    measured = int(np.isfinite(values).sum())
    if h is None:
        assert measured == 0
        return
    assert h.measured == measured
    assert len(h.edges) == len(h.counts) + 1
    assert np.all(np.diff(h.edges) > 0)
    assert h.edges[0] <= h.marks[0].position <= h.edges[-1]


def test_the_threshold_is_an_edge_so_that_no_bar_lies_on_both_sides() -> None:
    values = np.random.default_rng(0).uniform(0, 1, 1000)
    h = histogram("blankness", values, [rule("blankness", 0.7)])
    assert h is not None
    after = int(np.argmin(np.abs(np.array(h.edges) - 0.7)))
    assert h.edges[after] == pytest.approx(0.7)
    assert sum(h.counts[after:]) == h.marks[0].beyond == int((values > 0.7).sum())
    assert h.marks[0].share == pytest.approx(h.marks[0].beyond / 1000)


def test_whole_numbers_get_a_bin_each_and_the_line_between_two() -> None:
    h = histogram("edges_touched", np.array([0.0, 0, 1, 2, 4]), [rule("edges_touched", 1)])
    assert h is not None
    assert h.counts == (2, 1, 1, 0, 1)
    assert h.marks[0].position == 1.5


def test_what_spreads_over_decades_is_logarithmic() -> None:
    values = np.geomspace(1e3, 1e7, 100)
    wide = histogram("file_bytes", values, [])
    narrow = histogram("file_bytes", np.linspace(1e6, 1.2e6, 100), [])
    assert wide is not None and wide.logarithmic
    assert narrow is not None and not narrow.logarithmic


def test_one_value_is_one_bar() -> None:
    h = histogram("entropy", np.full(7, 3.0), [])
    assert h is not None and max(h.counts) == 7


def test_nothing_measured_is_none() -> None:
    assert histogram("entropy", np.array([np.nan, np.nan]), []) is None


def test_beyond_is_strict_and_never_true_for_nan() -> None:
    values = np.array([np.nan, 1.0, 2.0, 3.0])
    assert beyond(values, rule("fill", 2.0)).tolist() == [False, False, False, True]
    assert beyond(values, rule("fill", 2.0, "<")).tolist() == [False, True, False, False]
    assert not beyond(values, rule("fill", None)).any()


@given(
    hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(-9, 9, width=32)),
    st.floats(0, 100),
    st.sampled_from("<>"),
)
def test_the_line_among_scores_parts_just_those_beyond_the_place(
    scores: np.ndarray, limit: float, op: str
) -> None:
    place = percentiles(scores).astype(np.float64)
    values = {"d_score": scores.astype(np.float64), "d_percentile": place}
    view = rule("d_percentile", limit, op)
    plot = drawn("d_percentile", values.__getitem__, [view])
    assert plot is not None and plot.measured == len(scores)
    outside = int(beyond(place, view).sum())
    if 0 < outside < len(scores):
        (mark,) = plot.marks
        assert mark.beyond == outside
        assert mark.text == rule_text(view)
    else:
        assert plot.marks == ()


def test_other_measures_are_drawn_as_they_are() -> None:
    values = np.arange(9.0)
    views = [rule("fill", 5.0), rule("d_percentile", 5.0)]
    assert drawn("fill", {"fill": values}.__getitem__, views) == histogram("fill", values, views)


def test_a_rule_reads_like_a_sentence() -> None:
    assert rule_text(rule("shorter_side", 300, "<")) == "shorter side < 300 px"
    assert rule_text(rule("file_bytes", 4000, "<")) == "file size < 4.0 kB"
    assert rule_text(rule("", None)) == ""
