"""Curves in a plot: where points are, which values the axes name."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from training.compare.curves import plot, round_values, thinned

NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


def test_more_is_higher_and_later_is_further_right() -> None:
    found = plot("x", "", [(0, "a", ((0.0, 5.0), (10.0, 1.0))), (1, "b", ((5.0, 3.0),))])
    assert found is not None
    (first, last), (middle,) = found.lines[0].points, found.lines[1].points
    assert (first[0], middle[0], last[0]) == (0, 50, 100)
    assert 0 < first[1] < middle[1] < last[1] < 100  # counted from the top
    assert found.lines[1].tip == "b: 3 at 5 kimg"
    assert [text for _, text in found.across] == ["0", "5", "10"]


def test_nothing_to_draw_is_no_plot_and_runs_without_points_have_no_line() -> None:
    assert plot("x", "", [(0, "a", ())]) is None
    found = plot("x", "", [(0, "a", ()), (1, "b", ((0.0, 0.0),))])
    assert found is not None
    assert [line.style for line in found.lines] == [1]


@given(st.lists(st.tuples(st.floats(0, 1e4), NUMBERS), min_size=1, max_size=30))
def test_every_point_is_in_the_plot(points: list[tuple[float, float]]) -> None:
    found = plot("x", "", [(0, "a", tuple(sorted(points)))])
    assert found is not None
    places = [*found.lines[0].points, *((x, 0) for x, _ in found.across)]
    assert all(-1e-6 <= x <= 100 + 1e-6 for x, _ in places)
    assert all(0 <= y <= 100 for _, y in found.lines[0].points)


@given(NUMBERS, st.floats(1e-3, 1e6))
def test_axes_name_a_few_round_values_within(first: float, width: float) -> None:
    last = first + width
    values = round_values(first, last)
    assert 1 <= len(values) <= 6
    assert all(first <= value <= last for value in values)
    steps = [b - a for a, b in itertools.pairwise(values)]
    assert all(abs(step - steps[0]) <= 1e-6 * max(abs(last), 1) for step in steps)


@given(st.integers(1, 2000))
def test_long_curves_are_thinned_and_end_where_they_end(count: int) -> None:
    curve = tuple((float(n), float(n)) for n in range(count))
    thin = thinned(curve, 100)
    assert len(thin) <= 100
    assert thin[-1] == curve[-1]
    assert list(thin) == sorted(set(thin))
    assert thin == curve or count > 100
