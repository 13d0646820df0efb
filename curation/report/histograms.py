"""Histograms of measures with the thresholds of their rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from curation.report.model import Histogram, Mark, RuleView
from curation.report.wording import measure, number
from curation.scorers import BY_PLACE

Floats = npt.NDArray[np.float64]

BINS = 48
_TAIL = 0.5  # percent at either end that does not stretch the axis
_DECADES = 50.0  # a spread of this factor or more is drawn on a logarithmic axis


def histogram(column: str, values: Floats, rules: Sequence[RuleView]) -> Histogram | None:
    """Count one measure into bins, an edge of which is the first rule's threshold.

    Parameters
    ----------
    column
        Name of the measure.
    values : ndarray of shape (N,)
        NaN where an item has no value; such items are not counted.
    rules
        Those on this column that have a threshold are drawn in.

    Returns
    -------
    Histogram or None
        None where nothing was measured. Every measured item is counted: what lies beyond the axis
        is in the first or the last bin.
    """
    measured = values[np.isfinite(values)]
    if not measured.size:
        return None
    mine = [r for r in rules if r.column == column and r.threshold is not None]
    thresholds = [_position(column, r) for r in mine]
    logarithmic = _spreads_far(column, measured, thresholds)
    edges = _edges(column, measured, thresholds, logarithmic)
    counts, _ = np.histogram(np.clip(measured, edges[0], edges[-1]), bins=edges)
    return Histogram(
        column=column,
        title=measure(column).title,
        unit=measure(column).unit,
        counts=tuple(int(c) for c in counts),
        edges=tuple(float(e) for e in edges),
        logarithmic=logarithmic,
        marks=tuple(_mark(r, p, measured) for r, p in zip(mine, thresholds, strict=True)),
    )


def drawn(
    column: str, values: Callable[[str], Floats], rules: Sequence[RuleView]
) -> Histogram | None:
    """Draw one measure; of a place by score, which is spread evenly, the score itself.

    Parameters
    ----------
    column
        Name of the measure.
    values
        Gives the values of a measure by its name, NaN where an item has none.
    rules
        All of them.
    """
    if column not in BY_PLACE:
        return histogram(column, values(column), rules)
    name, place = BY_PLACE[column].score, values(column)
    score = np.where(np.isfinite(place), values(name), np.nan)
    mine = [r for r in rules if r.column == column and r.threshold is not None]
    cuts = {r: cut for r in mine if (cut := _cut(score, beyond(place, r))) is not None}
    at_scores = [replace(r, column=name, threshold=cut) for r, cut in cuts.items()]
    plot = histogram(name, score, at_scores)
    if plot is None:
        return None
    marks = zip(plot.marks, cuts, strict=True)
    return replace(plot, marks=tuple(replace(mark, text=rule_text(rule)) for mark, rule in marks))


def _cut(score: Floats, broken: npt.NDArray[np.bool_]) -> float | None:
    """Find the score between those that break a rule and those that do not; None without both."""
    inside = score[np.isfinite(score) & ~broken]
    outside = score[np.isfinite(score) & broken]
    if not inside.size or not outside.size:
        return None
    low, high = sorted((inside, outside), key=lambda scores: float(scores.min()))
    return float(low.max() + high.min()) / 2


def beyond(values: Floats, rule: RuleView) -> npt.NDArray[np.bool_]:
    """Tell which values break a rule; NaN does not."""
    if rule.threshold is None:
        return np.zeros(values.shape, bool)
    return values > rule.threshold if rule.op == ">" else values < rule.threshold


def rule_text(rule: RuleView) -> str:
    """Write a rule as people read it, e.g. "shorter side < 300 px"."""
    if not rule.column:
        return ""
    if rule.threshold is None:
        return measure(rule.column).title
    sign = rule.op
    return f"{measure(rule.column).title} {sign} {number(rule.threshold, rule.column)}"


def _position(column: str, rule: RuleView) -> float:
    assert rule.threshold is not None
    if measure(column).whole and rule.threshold < 64 and float(rule.threshold).is_integer():
        # Between the last value that passes and the first that does not.
        return rule.threshold + (0.5 if rule.op == ">" else -0.5)
    return rule.threshold


def _mark(rule: RuleView, position: float, measured: Floats) -> Mark:
    count = int(np.count_nonzero(beyond(measured, rule)))
    return Mark(
        reason=rule.reason,
        position=position,
        op=rule.op,
        action=rule.action,
        text=rule_text(rule),
        beyond=count,
        share=count / measured.size,
    )


def _spreads_far(column: str, measured: Floats, thresholds: Sequence[float]) -> bool:
    if float(measured.min()) <= 0 or any(t <= 0 for t in thresholds):
        return False
    if measure(column).whole and np.ptp(measured) < BINS:
        return False
    low, high = np.percentile(measured, [1, 99])
    return bool(high / low >= _DECADES)


def _edges(column: str, measured: Floats, thresholds: Sequence[float], logarithmic: bool) -> Floats:
    if measure(column).whole and np.ptp([*measured, *thresholds]) < BINS:
        low, high = min([measured.min(), *thresholds]), max([measured.max(), *thresholds])
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.0)
    if logarithmic:
        edges = np.exp(_even_edges(np.log(measured), [float(np.log(t)) for t in thresholds]))
    else:
        edges = _even_edges(measured, thresholds)
    for threshold in thresholds[:1]:
        # Free of rounding, so that what equals the threshold is counted on one side for good.
        edges[np.argmin(np.abs(edges - threshold))] = threshold
    return edges


def _even_edges(measured: Floats, thresholds: Sequence[float]) -> Floats:
    low, high = np.percentile(measured, [_TAIL, 100 - _TAIL])
    low, high = min([low, *thresholds]), max([high, *thresholds])
    # Values that are all but equal still need bins that floats can tell apart.
    narrowest = 1e-9 * max(abs(low), abs(high), 1e-9)
    width = max((high - low) / (BINS - 2), narrowest)
    anchor = thresholds[0] if thresholds else low
    first, last = np.floor((low - anchor) / width), np.ceil((high - anchor) / width)
    # One bin more at either end, so that a threshold is never on the frame. A measure that
    # cannot be negative gets no negative axis, though.
    if measured.min() < 0 or anchor + width * (first - 1) >= 0:
        first -= 1
    edges = anchor + width * np.arange(first, last + 2)
    return np.asarray(edges, np.float64)
