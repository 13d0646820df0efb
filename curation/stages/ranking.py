"""Stage: what is scored together, and what a ranking came to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.judging import OF_SCORES, Rules, judge_scores
from curation.recipe import Recipe
from curation.scorers import Scorer
from curation.stages.scores import one_row_an_item, percentiles
from curation.stages.standardize import MAX_PARTITIONS
from data_catalog.catalog import Catalog
from data_catalog.schema import Verdict

_TOGETHER: Final = 16  # neighbours in a pack that stay together: about a megabyte in one read
_OF_SCORES: Final = tuple(reason.value for reason in OF_SCORES)
_GONE: Final = (Verdict.REJECTED.value, Verdict.FAILED.value)
_FEWEST: Final = 3  # scores of which a spread can be told


@dataclass(frozen=True, slots=True)
class RankFigures:
    """What a ranking came to.

    Attributes
    ----------
    scored : int
        Items with a score.
    stability : float or None
        How far the order is that of the networks and not of the companions that were drawn: the
        correlation with another ranking by as many shuffles that is to be expected, 0 to 1. None
        where there are too few scores to tell.
    standard_error : float or None
        Of a score, mean over all items.
    low, high : int
        Items that the rules on these scores would flag or reject, were they judged now.
    """

    scored: int
    stability: float | None
    standard_error: float | None
    low: int
    high: int


def spread(rows: pa.Table, size: int) -> Iterator[pa.Table]:
    """Cut rows that are sorted by place into parts, each with pictures from everywhere.

    Pictures are compared with others of their part, and neighbours in a pack are often of one page:
    alike, they would all seem less real than they are. So each part takes some neighbours here and
    some there; it is still read from front to back.

    Parameters
    ----------
    rows : pyarrow.Table
        Sorted by place.
    size
        Of a part, about; larger where there would be too many parts.

    Yields
    ------
    pyarrow.Table
        Sorted by place.
    """
    count = rows.num_rows
    parts = min(-(-count // max(size, 1)), MAX_PARTITIONS)
    blocks = np.arange(count) // min(_TOGETHER, max(count // max(parts, 1), 1))
    for part in range(parts):
        yield rows.take(pa.array(np.flatnonzero(blocks % parts == part)))


def evenly(rows: pa.Table, count: int) -> pa.Table:
    """Take so many rows, from everywhere; all where there are no more."""
    if count >= rows.num_rows:
        return rows
    return rows.take(pa.array(np.linspace(0, rows.num_rows - 1, count).round().astype(np.int64)))


def standardized(catalog: Catalog, recipe: Recipe, without: pa.Array) -> pa.Table:
    """Find standardized items that are not among `without`.

    Returns
    -------
    pyarrow.Table
        `item_id`, `pack`, `offset`, `length`, one row an item, sorted by place.
    """
    where = (pc.field("recipe") == recipe.id) & pc.is_valid(pc.field("pack"))
    where = where & ~pc.field("item_id").isin(without)
    rows = catalog.table("features").read(["item_id", "pack", "offset", "length"], where=where)
    return one_row_an_item(rows.sort_by([("pack", "ascending"), ("offset", "ascending")]))


def standing(catalog: Catalog, scores: pa.Table) -> pa.Table:
    """Give the scored items that would stay in the set, lowest first, with their places.

    Those are the items of the last build, but what it rejects for another reason than its score:
    the place of an item is that by which the rules on scores judge. Before the first build, all.

    Parameters
    ----------
    scores : pyarrow.Table
        From `curation.stages.scores.read_scores`.

    Returns
    -------
    pyarrow.Table
        `item_id`, `mean`, `standard_error`, and `place`, 0 to 100.
    """
    rows = scores.select(["item_id", "mean", "standard_error"])
    verdicts = _last_verdicts(catalog)
    if verdicts.num_rows:
        stay = verdicts["item_id"].filter(pa.array(~_gone(verdicts))).combine_chunks()
        rows = rows.filter(pc.is_in(rows["item_id"], value_set=stay))
    rows = rows.append_column("place", pa.array(percentiles(rows["mean"].to_numpy())))
    return rows.sort_by([("mean", "ascending"), ("item_id", "ascending")])


def gone(catalog: Catalog) -> pa.Array:
    """Give the items that are not in the set since the last build, whatever their scores say."""
    verdicts = _last_verdicts(catalog)
    return verdicts["item_id"].filter(pa.array(_gone(verdicts))).combine_chunks()


def _last_verdicts(catalog: Catalog) -> pa.Table:
    return catalog.table("verdicts").read(["item_id", "verdict", "reasons"]).combine_chunks()


def _gone(verdicts: pa.Table) -> NDArray[np.bool_]:
    """Tell which items are not in the set, whatever their scores say."""
    reasons = verdicts["reasons"].combine_chunks()
    others = ~np.asarray(pc.is_in(pc.list_flatten(reasons), value_set=pa.array(_OF_SCORES)))
    owners = np.asarray(pc.list_parent_indices(reasons))[others]
    for_others = np.bincount(owners, minlength=verdicts.num_rows) > 0
    gone = np.asarray(pc.is_in(verdicts["verdict"], value_set=pa.array(_GONE)))
    return np.asarray(gone & for_others, np.bool_)


def figures(scorer: Scorer, scores: pa.Table, standing: pa.Table, rules: Rules) -> RankFigures:
    """Sum a ranking up.

    Parameters
    ----------
    scorer
        Whose scores they are.
    scores : pyarrow.Table
        From `curation.stages.scores.read_scores`.
    standing : pyarrow.Table
        From `standing`.
    rules
        What would be flagged is counted by them.
    """
    means = scores["mean"].to_numpy().astype(np.float64)
    errors = scores["standard_error"].to_numpy().astype(np.float64)
    known = errors[np.isfinite(errors)]
    places = standing["place"].to_numpy()
    found = judge_scores({scorer: places}, rules).masks
    counts = {"<": 0, ">": 0}
    for rule in rules.on_scores(scorer):
        (test,) = rule.thresholds()
        counts[test.breaks] += int(np.count_nonzero(found[rule.reason]))
    return RankFigures(
        scored=scores.num_rows,
        stability=_stability(means, known),
        standard_error=float(known.mean()) if len(known) else None,
        low=counts["<"],
        high=counts[">"],
    )


def _stability(means: NDArray[np.float64], errors: NDArray[np.float64]) -> float | None:
    """Give the reliability: the share of the spread of scores that chance has not made."""
    if len(means) < _FEWEST or len(errors) < _FEWEST:
        return None
    spread = float(means.var())
    if not spread > 0 or not math.isfinite(spread):
        return None
    return max(0.0, 1.0 - float((errors**2).mean()) / spread)
