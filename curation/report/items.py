"""All items of a build, columns side by side, and the cards made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.report.model import Card, RuleView
from curation.report.wording import clean, measure, number
from data_catalog.schema import Reason, Verdict

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Items:
    """All items in the order of the verdicts, columns side by side."""

    ids: pa.Array[Any]
    verdict: npt.NDArray[np.object_]
    reasons: Mapping[Reason, Rows]  # the rows that carry each
    by_person: npt.NDArray[np.bool_]
    features: pa.Table
    groups: pa.Table
    places: pa.Table  # locator, source, label

    @property
    def count(self) -> int:
        """Number of items."""
        return len(self.ids)

    def values(self, column: str) -> Floats:
        """One measure as floats, NaN where there is none."""
        if column == "shorter_side":
            return np.minimum(self.values("width"), self.values("height"))
        if column == "aspect":
            width, height = self.values("width"), self.values("height")
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.maximum(width, height) / np.minimum(width, height)
        for table in (self.features, self.groups):
            if column in table.column_names:
                return floats(table[column])
        return np.full(self.count, np.nan)

    def carry(self, reasons: Iterable[Reason]) -> npt.NDArray[np.bool_]:
        """Which items carry any of the reasons."""
        mask = np.zeros(self.count, bool)
        for reason in reasons:
            mask[self.reasons.get(reason, NO_ROWS)] = True
        return mask


NO_ROWS: Final[Rows] = np.zeros(0, np.int64)


def align(
    features: pa.Table,
    verdicts: pa.Table,
    groups: pa.Table,
    locators: Mapping[str, str] | pa.Table,
) -> Items:
    """Bring all tables into the order of the verdicts."""
    verdicts = verdicts.combine_chunks()
    ids = array(verdicts["item_id"])
    # Hashes and places in packs are never shown; leaving them out keeps the join small.
    shown = [f.name for f in features.schema if not pa.types.is_binary(f.type)]
    return Items(
        ids=ids,
        verdict=verdicts["verdict"].to_numpy(),
        reasons=_rows_by_reason(array(verdicts["reasons"])),
        by_person=pc.not_equal(verdicts["decided_by"], pa.scalar("rules")).to_numpy(),
        features=_aligned(features.select(shown), "item_id", ids),
        groups=_aligned(groups, "item_id", ids),
        places=_places(locators, ids, array(verdicts["image_id"])),
    )


def array(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Bring a column into one piece."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _aligned(table: pa.Table, key: str, ids: pa.Array[Any]) -> pa.Table:
    """Rows of `table` in the order of `ids`; nulls where it has none."""
    return table.take(pc.index_in(ids, value_set=array(table[key])))


def floats(column: pa.ChunkedArray[Any]) -> Floats:
    """Read a column as floats, NaN where it is null."""
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def _rows_by_reason(reasons: pa.Array[Any]) -> dict[Reason, Rows]:
    rows = pc.list_parent_indices(reasons).to_numpy()
    encoded = pc.list_flatten(reasons).dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    # Once an item, even if a row should name a reason twice.
    return {
        Reason(str(name)): np.unique(rows[codes == code]).astype(np.int64)
        for code, name in enumerate(encoded.dictionary.to_pylist())
    }


def _places(
    locators: Mapping[str, str] | pa.Table, ids: pa.Array[Any], images: pa.Array[Any]
) -> pa.Table:
    if not isinstance(locators, pa.Table):
        keys = pa.array(list(locators), pa.string())
        text = pa.array(list(locators.values()), pa.string())
        locators = pa.table({"item_id": keys, "image_id": keys, "locator": text})
    columns: list[str] = [c for c in ("locator", "source", "label") if c in locators.column_names]
    wanted = {"item_id": ids, "image_id": images}
    found = [
        _aligned(locators.select([key, *columns]), key, keys)
        for key, keys in wanted.items()
        if key in locators.column_names
    ]
    return pa.table([pc.coalesce(*(f[c] for f in found)) for c in columns], names=columns)


def cards(items: Items, rows: Rows, rules: Sequence[RuleView] = ()) -> tuple[Card, ...]:
    """Make the cards of some rows, with the value that the rules go by."""
    taken = items.places.take(rows)
    text = {
        c: taken[c].to_pylist() if c in taken.column_names else [None] * len(rows)
        for c in ("locator", "source", "label")
    }
    ids = [str(i) for i in items.ids.take(rows).to_pylist()]
    values = _value_texts(items, rows, rules)
    return tuple(
        Card(
            item_id=item_id,
            locator=clean(text["locator"][i] or item_id),
            source=clean(text["source"][i] or ""),
            label=clean(text["label"][i] or ""),
            verdict=Verdict(items.verdict[rows[i]]),
            value=values[i],
        )
        for i, item_id in enumerate(ids)
    )


def _value_texts(items: Items, rows: Rows, rules: Sequence[RuleView]) -> list[str]:
    """Write the value of the rule that each item breaks most, or is nearest to breaking."""
    measured = [r for r in rules if r.column]
    if not measured:
        return [""] * len(rows)
    values = np.stack([items.values(r.column)[rows] for r in measured])
    worst = np.argmax([excess(items, [r])[rows] for r in measured], axis=0)
    named = len({r.column for r in measured}) > 1
    texts = []
    for i, value in zip(worst, values[worst, np.arange(len(rows))].tolist(), strict=True):
        column = measured[i].column
        text = number(value, column) if np.isfinite(value) else ""
        texts.append(f"{measure(column).title} {text}" if named and text else text)
    return texts


def excess(items: Items, rules: Sequence[RuleView]) -> Floats:
    """How far each item is beyond its worst rule, as a share of the threshold; −inf: unmeasured."""
    worst = np.full(items.count, -np.inf)
    for rule in rules:
        if rule.column and rule.threshold is not None:
            values = items.values(rule.column)
            sign = 1.0 if rule.op == ">" else -1.0
            away = sign * (values - rule.threshold) / (abs(rule.threshold) or 1.0)
            # Values at the very end of the passing side, such as one frame, or colours counted
            # up to a limit, all tie: they say nothing about who nearly broke the rule.
            safest = np.nanmin(away, initial=np.inf)
            ranked = np.isfinite(away) & ((away > 0) | (away > safest))
            worst = np.maximum(worst, np.where(ranked, away, -np.inf))
    return worst
