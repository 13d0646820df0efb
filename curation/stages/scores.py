"""Stage: the scores of the pictures: which lack one, whose count, and their place by them.

Scores are added in batches, each one commit, so that a killed ranking goes on where it was. What a
kill between two commits leaves twice counts once: the latest row.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from curation.recipe import Recipe
from curation.scorers import DENSITY, Scorer, scorer_of
from data_catalog import models
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from data_catalog.schema import SCORES

Scores = Mapping[Scorer, pa.Table]
"""Scores by whoever counts, one model a scorer, as `read_scores` gives them."""

_PLACE: Final = ("item_id", "pack", "offset", "length")


def read_scores(
    catalog: Catalog, recipe: Recipe, model: str, *, item_id: str | None = None
) -> pa.Table:
    """Read the scores by one model, one row an item, in no promised order.

    Parameters
    ----------
    model : str
        Id of a registered model, or the name of a density.
    item_id : str, optional
        Of this item alone.

    Returns
    -------
    pyarrow.Table
        Columns of `data_catalog.schema.SCORES`; means in one unit, see `in_one_unit`.
    """
    where = (pc.field("recipe") == recipe.id) & (pc.field("model") == model)
    table = catalog.table("scores")
    if item_id is None:
        return in_one_unit(_latest(table.read(where=where)))
    own = _latest(table.read(where=where & (pc.field("item_id") == item_id)))
    if own["fold"].null_count == own.num_rows:
        return own
    rows = in_one_unit(_latest(table.read(where=where)))
    return rows.filter(pc.equal(rows["item_id"], pa.scalar(item_id)))


def in_one_unit(rows: pa.Table) -> pa.Table:
    """Bring the scores by the judges of a k-fold training to one origin and unit.

    Two networks have neither in common. The table holds their logits, as they gave them; only all
    of them together tell how far one is from the usual, so that a score that is added moves the
    others of its fold a little, as it does with their places.

    Parameters
    ----------
    rows : pyarrow.Table
        By one model, one row an item.

    Returns
    -------
    pyarrow.Table
        `mean` in standard deviations from the mean of its fold, `standard_error` in the same unit.
        Rows without a fold stay as they are.
    """
    known = pc.unique(rows["fold"].drop_null())
    if not len(known):
        return rows
    folds = pc.fill_null(rows["fold"], -1).to_numpy()
    means = rows["mean"].to_numpy().astype(np.float64)
    errors = rows["standard_error"].to_numpy().astype(np.float64)
    for fold in known.to_pylist():
        mine = folds == fold
        unit = means[mine].std()
        unit = unit if unit > 0 else 1.0  # all alike: none is above another
        means[mine] = (means[mine] - means[mine].mean()) / unit
        errors[mine] /= unit
    for name, values in (("mean", means), ("standard_error", errors)):
        column = pa.array(values, SCORES.field(name).type, from_pandas=True)
        rows = rows.set_column(rows.schema.get_field_index(name), SCORES.field(name), column)
    return rows


def current_scores(catalog: Catalog, recipe: Recipe, *, item_id: str | None = None) -> Scores:
    """Read the scores that count now, as `read_scores`; no scorer without a score."""
    found = {}
    for scorer in Scorer:
        model = current_model(catalog, recipe, scorer)
        if model is not None:
            rows = read_scores(catalog, recipe, model, item_id=item_id)
            if rows.num_rows:
                found[scorer] = rows
    return found


def current_model(catalog: Catalog, recipe: Recipe, scorer: Scorer) -> str | None:
    """Tell whose scores count now; None where there is nobody.

    Of discriminators it is the one registered last; of densities the one whose ranking came to its
    end last, so that a new sample does not count before all are scored by it.
    """
    if scorer is Scorer.DISCRIMINATOR:
        model = models.current(catalog)
        return None if model is None else model.model
    where = (pc.field("recipe") == recipe.id) & pc.is_valid(pc.field("percentile"))
    where = where & pc.starts_with(pc.field("model"), DENSITY)
    rows = catalog.table("scores").read(["model", "scored_at"], where=where)
    latest = rows.group_by("model").aggregate([("scored_at", "max")]).sort_by("scored_at_max")
    names = [name for name in latest["model"].to_pylist() if scorer_of(name) is scorer]
    return names[-1] if names else None


def percentiles(means: ArrayLike) -> NDArray[np.float32]:
    """Give the place of each score among all of them.

    The share of scores that are lower, half of those that are equal added: the lowest of N has
    50 / N, the highest 100 − 50 / N, so that just n of N are below 100 n / N.

    Parameters
    ----------
    means : array_like of shape (N,)
        NaN has no place, and takes none.

    Returns
    -------
    ndarray of shape (N,), float32
        Between 0 and 100; equal scores have the mean of their places. NaN where the score is NaN.
    """
    scores = np.asarray(means, np.float64)
    if scores.ndim != 1:
        raise ValueError(f"`means` must have one axis, got shape {scores.shape}")
    out = np.full(len(scores), np.nan, np.float32)
    known = ~np.isnan(scores)
    _, which, counts = np.unique(scores[known], return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2.0
    out[known] = (100.0 * middle / max(len(which), 1))[which]
    return out


def unscored(catalog: Catalog, recipe: Recipe, model: str) -> pa.Table:
    """Find the standardized items that the model has not scored.

    Returns
    -------
    pyarrow.Table
        `item_id`, `pack`, `offset`, `length`, one row an item, in the order of their places, so
        that packs are read from front to back.
    """
    where = (pc.field("recipe") == recipe.id) & pc.is_valid(pc.field("pack"))
    items = catalog.table("features").read(_PLACE, where=where)
    mine = (pc.field("recipe") == recipe.id) & (pc.field("model") == model)
    known = catalog.table("scores").read(["item_id"], where=mine)["item_id"].combine_chunks()
    items = items.filter(pc.invert(pc.is_in(items["item_id"], value_set=known)))
    items = items.sort_by([("pack", "ascending"), ("offset", "ascending")])
    return one_row_an_item(items)


def write_scores(catalog: Catalog, rows: pa.Table) -> None:
    """Add scores in one commit.

    Parameters
    ----------
    rows : pyarrow.Table
        Columns of `data_catalog.schema.SCORES`: `item_id`, `recipe`, `model` and a finite `mean`,
        the others where known; `scored_at` is now where it is left out.

    Raises
    ------
    CatalogError
        If a row has no recipe, or a score that is no number: the network has diverged.
    """
    if "scored_at" not in rows.column_names:
        now = pa.scalar(datetime.now(UTC), SCORES.field("scored_at").type)
        rows = rows.append_column("scored_at", pa.repeat(now, rows.num_rows))
    rows = catalog.table("scores").fit(rows)
    if rows["recipe"].null_count or rows["scored_at"].null_count:
        raise CatalogError("`scores.recipe` and `scores.scored_at` must not be null")
    finite = np.isfinite(rows["mean"].to_numpy())
    if not finite.all():
        bad = rows.filter(pa.array(~finite)).slice(0, 1).to_pylist()[0]
        raise CatalogError(
            f"`scores.mean` must be a finite number, got {bad['mean']} for {bad['item_id']} by "
            f"{bad['model']}: that network has diverged; use another, see `nonesuch models`"
        )
    catalog.table("scores").append(rows)


def finish_scores(catalog: Catalog, recipe: Recipe, model: str) -> None:
    """Give each of the model's scores its place among them, in one commit.

    The table is written anew, without doubles, and without scores by samples that another density
    has used before; nothing happens where all is in place already.

    Raises
    ------
    ConflictError
        If another writer adds scores meanwhile; nothing was written.
    """
    table = catalog.table("scores")
    at = table.version()
    rows = table.read()
    mine = pc.and_(pc.equal(rows["recipe"], recipe.id), pc.equal(rows["model"], model))
    mine = pc.fill_null(mine, False)
    before, others = rows.filter(mine), rows.filter(pc.invert(mine))
    kept = _without_old_densities(others, recipe, model)
    after = _latest(before)
    place = pa.array(percentiles(in_one_unit(after)["mean"].to_numpy()))
    same = before["percentile"].combine_chunks().equals(place)
    if same and (after.num_rows, kept.num_rows) == (before.num_rows, others.num_rows):
        return
    column = SCORES.get_field_index("percentile")
    after = after.set_column(column, SCORES.field("percentile"), place)
    table.replace(pa.concat_tables([kept, after]), if_version=at)


def _without_old_densities(rows: pa.Table, recipe: Recipe, model: str) -> pa.Table:
    """Leave out what densities before this one have scored by this recipe: nothing reads it."""
    if scorer_of(model) is not Scorer.DENSITY:
        return rows
    names: list[Any] = pc.unique(rows["model"]).to_pylist()
    densities = [name for name in names if scorer_of(name) is Scorer.DENSITY]
    old = pc.is_in(rows["model"], value_set=pa.array(densities, pa.string()))
    old = pc.and_(old, pc.fill_null(pc.equal(rows["recipe"], recipe.id), False))
    return rows.filter(pc.invert(old))


def _latest(rows: pa.Table) -> pa.Table:
    """Take the row of each item that was scored last, whatever the order of the rows."""
    if pc.count_distinct(rows["item_id"]).as_py() == rows.num_rows:
        return rows
    codes = _codes(rows["item_id"])
    times = pc.fill_null(rows["scored_at"].cast(pa.int64()), 0).to_numpy()
    order = np.lexsort((rows["mean"].to_numpy(), times, codes))
    ordered = codes[order]
    last = order[np.append(ordered[1:] != ordered[:-1], True)]
    return rows.take(pa.array(np.sort(last)))


def one_row_an_item(rows: pa.Table) -> pa.Table:
    """Take the first row of each item; a kill between two commits may have left two."""
    if pc.count_distinct(rows["item_id"]).as_py() == rows.num_rows:
        return rows
    _, first = np.unique(_codes(rows["item_id"]), return_index=True)
    return rows.take(pa.array(np.sort(first)))


def _codes(ids: Any) -> NDArray[np.int64]:
    """Give each id a number, so that they sort fast."""
    return np.asarray(ids.combine_chunks().dictionary_encode().indices, np.int64)
