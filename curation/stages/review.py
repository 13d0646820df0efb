"""Stage: what the review page is given of the last build, item by item, with the evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.ingest.offers import Common
from curation.ingest.selection import current
from curation.judging import Rule, Rules, measured
from curation.recipe import Recipe
from curation.report.wording import clean, measure, number, title
from curation.scorers import BY_PLACE, Scorer
from curation.stages.scores import current_model, read_scores
from data_catalog.catalog import Catalog
from data_catalog.reviewing import EVIDENCE, REVIEWED, QueueInfo
from data_catalog.schema import Reason, Verdict

Floats = NDArray[np.float64]

# Where items are to be compared with one another.
_OF_CLUSTERS: Final = frozenset(
    {Reason.PIXEL_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.MIRRORED_COPY, Reason.COLOURWAY}
)
_FEATURES: Final = (
    "item_id",
    "image_id",
    "width",
    "height",
    "file_bytes",
    "pixel_hash",
    "phash",
    "pack",
    "offset",
    "length",
    "thumb_offset",
    "thumb_length",
    "standard_hash",
)
# Keys under which sources keep what a page says about a picture.
_FIELDS: Final = ("title", "brand", "page")
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class _Test:
    """What is shown of a rule: its measure and its limit."""

    reason: Reason
    meaning: str
    action: Literal["flag", "reject"]
    column: str | None
    breaks: Literal["<", ">"]
    limit: float | None


@dataclass(frozen=True, slots=True)
class _Measures:
    """What the tests look at, in the order of the verdicts."""

    features: pa.Table
    groups: pa.Table
    verdicts: pa.Table


def queue_infos(rules: Rules) -> list[QueueInfo]:
    """Describe the queues: one for each rule that is on."""
    return [_queue_info(tests) for tests in _tests(rules).values()]


def _queue_info(tests: Sequence[_Test]) -> QueueInfo:
    first = tests[0]
    # Several measures have no common unit, limit or side; each item tells which one it broke.
    column = first.column if len(tests) == 1 else None
    return QueueInfo(
        reason=first.reason,
        title=title(first.reason),
        meaning=first.meaning,
        action=first.action,
        kind="clusters" if first.reason in _OF_CLUSTERS else "items",
        measure=None if column is None else measure(column).title,
        unit="" if column is None else measure(column).unit,
        order="low" if column is not None and first.breaks == "<" else "high",
        limit=None if column is None else first.limit,
    )


def review_items(
    catalog: Catalog,
    recipe: Recipe,
    rules: Rules,
    sources: Sequence[Common],
    *,
    batch_rows: int = 20_000,
) -> Iterator[pa.RecordBatch]:
    """Give every item of the last build that has a picture.

    Parameters
    ----------
    recipe, rules, sources
        Of the configuration that the build was made with.

    Yields
    ------
    pyarrow.RecordBatch
        Of `data_catalog.reviewing.REVIEWED`, sorted by item_id.
    """
    columns = ["item_id", "image_id", "verdict", "reasons", *BY_PLACE]
    verdicts = catalog.table("verdicts").read(columns)
    failed = pc.equal(verdicts["verdict"], pa.scalar(Verdict.FAILED.value))
    verdicts = verdicts.filter(pc.invert(failed)).sort_by("item_id").combine_chunks()
    if verdicts.num_rows == 0:
        return
    tests = _tests(rules)
    features = _features(catalog, recipe, tests, verdicts)
    # A verdict without a picture by this recipe: a rebuild with another one is under way.
    there = pc.is_valid(features["pack"])
    verdicts, features = verdicts.filter(there), features.filter(there)
    groups = _aligned(catalog.table("groups").read(), "item_id", verdicts["item_id"])
    measures = _Measures(features, groups, verdicts)
    shown = {
        "item_id": verdicts["item_id"],
        "image_id": verdicts["image_id"],
        "rule": _by_rules(verdicts["reasons"], tests),
        "evidence": _evidence(verdicts["reasons"], tests, measures),
        **_about(catalog, sources, verdicts["image_id"]),
        **{name: features[name] for name in _FEATURES[2:] if name not in ("pixel_hash",)},
        "score": _scores(catalog, recipe, verdicts["item_id"]),
        "pixels": _hex(features["pixel_hash"]),
        **_clusters(groups, verdicts["item_id"]),
        **_raw(catalog, verdicts["image_id"]),
        "standard_ratio": pa.array(
            np.full(verdicts.num_rows, recipe.width / recipe.height, np.float32)
        ),
    }
    table = pa.table({field.name: shown[field.name] for field in REVIEWED}).cast(REVIEWED)
    yield from table.to_batches(max_chunksize=batch_rows)


def _tests(rules: Rules) -> dict[str, list[_Test]]:
    """Give what is compared, by reason: one or more tests each, in the order people read them."""
    found: dict[str, list[_Test]] = {}
    for rule in rules.all():
        if rule.action == "off":
            continue
        found[rule.reason.value] = _tests_of(rule, rule.action)
    return found


def _tests_of(rule: Rule, action: Literal["flag", "reject"]) -> list[_Test]:
    tests = [
        _Test(rule.reason, rule.meaning, action, test.column, test.breaks, test.limit)
        for test in rule.thresholds()
    ]
    if tests:
        return tests
    column = "distance" if rule.reason in _OF_CLUSTERS else None
    return [_Test(rule.reason, rule.meaning, action, column, ">", None)]


def _features(
    catalog: Catalog, recipe: Recipe, tests: dict[str, list[_Test]], verdicts: pa.Table
) -> pa.Table:
    """Read features in the order of the verdicts, with the measures that rules name."""
    table = catalog.table("features")
    of_images = {
        test.column
        for found in tests.values()
        for test in found
        if test.column in table.schema.names
    }
    columns = list(dict.fromkeys((*_FEATURES, *sorted(filter(None, of_images)))))
    where = (pc.field("recipe") == recipe.id) & pc.is_valid(pc.field("pack"))
    return _aligned(table.read(columns, where=where), "item_id", verdicts["item_id"])


def _aligned(table: pa.Table, key: str, ids: Any) -> pa.Table:
    """Give rows of `table` in the order of `ids`; nulls where it has none."""
    keys = table[key].combine_chunks()
    return table.take(pc.index_in(ids, value_set=keys)).combine_chunks()


def _scores(catalog: Catalog, recipe: Recipe, ids: Any) -> Any:
    """Read the scores by the current model."""
    model = current_model(catalog, recipe, Scorer.DISCRIMINATOR)
    if model is None:
        return pa.nulls(len(ids), pa.float32())
    scores = read_scores(catalog, recipe, model)
    return _aligned(scores.select(["item_id", "mean"]), "item_id", ids)["mean"]


def _exploded(reasons: Any) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Give (row, reason) of every reason of every row."""
    lists = reasons.combine_chunks() if isinstance(reasons, pa.ChunkedArray) else reasons
    rows = np.asarray(pc.list_parent_indices(lists), dtype=np.int64)
    names = np.asarray(pc.list_flatten(lists).to_numpy(zero_copy_only=False), dtype=object)
    return rows, names


def _by_rules(reasons: Any, tests: dict[str, list[_Test]]) -> pa.Array[Any]:
    """Tell what the rules alone make of each item: reject, else flag, else accept."""
    rows, names = _exploded(reasons)
    out = np.full(len(reasons), Verdict.ACCEPTED.value, dtype=object)
    for action, verdict in (("flag", Verdict.FLAGGED), ("reject", Verdict.REJECTED)):
        those = [reason for reason, found in tests.items() if found[0].action == action]
        out[rows[np.isin(names.astype(str), those)]] = verdict.value
    return pa.array(out, pa.string())


def _evidence(
    reasons: Any,
    tests: dict[str, list[_Test]],
    measures: _Measures,
) -> Any:
    """Give, for every reason of every item, the value and the limit that it broke."""
    rows, names = _exploded(reasons)
    order: list[NDArray[np.int64]] = []
    entries: list[dict[str, Any]] = []
    text = names.astype(str)
    for reason, found in tests.items():
        mine = np.sort(rows[text == reason])
        if not len(mine):
            continue
        values, which = _values(found, mine, measures)
        order.append(mine)
        entries += [
            _entry(found[at], value)
            for at, value in zip(which.tolist(), values.tolist(), strict=True)
        ]
    place = np.concatenate(order) if order else np.zeros(0, np.int64)
    by_row = np.argsort(place, kind="stable")
    offsets = np.zeros(len(reasons) + 1, np.int32)
    np.cumsum(np.bincount(place, minlength=len(reasons)), out=offsets[1:])
    flat = pa.array(entries, EVIDENCE).take(pa.array(by_row))
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def _values(
    tests: Sequence[_Test],
    rows: NDArray[np.int64],
    measures: _Measures,
) -> tuple[Floats, NDArray[np.int64]]:
    """Give the value of the first test that each row breaks, and which test that is."""
    values = np.stack([_measured(test, rows, measures) for test in tests])
    broken = np.stack(
        [
            np.zeros(len(rows), np.bool_)
            if test.limit is None
            else (value < test.limit if test.breaks == "<" else value > test.limit)
            for test, value in zip(tests, values, strict=True)
        ]
    )
    which = np.argmax(broken, axis=0).astype(np.int64)
    return values[which, np.arange(len(rows))], which


def _measured(test: _Test, rows: NDArray[np.int64], measures: _Measures) -> Floats:
    at = pa.array(rows)
    match test.column:
        case None:
            return np.full(len(rows), np.nan)
        case "colourway_number":
            return _floats(measures.groups["colourway_rank"].take(at)) + 1.0
        case "distance":
            return _floats(measures.groups["distance"].take(at))
        case column if column in BY_PLACE:
            return _floats(measures.verdicts[column].take(at))
        case column:
            return measured(measures.features.take(at), {column})[column]


def _floats(column: Any) -> Floats:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _entry(test: _Test, value: float) -> dict[str, Any]:
    known = value == value  # NaN alone differs from itself
    named = None if test.column is None else measure(test.column).title
    return {
        "reason": test.reason.value,
        "title": title(test.reason),
        "meaning": test.meaning,
        "action": test.action,
        "measure": named,
        "value": value if known else None,
        "limit": test.limit,
        "breaks": test.breaks if test.column is not None else None,
        "text": _words(test, value) if known else title(test.reason).lower(),
    }


def _words(test: _Test, value: float) -> str:
    assert test.column is not None
    said = f"{measure(test.column).title} {number(value, test.column)}"
    if test.limit is None:
        return said
    bound = "at least" if test.breaks == "<" else "at most"
    return f"{said}, {bound} {number(test.limit, test.column)}"


def _about(catalog: Catalog, sources: Sequence[Common], images: Any) -> dict[str, Any]:
    """Give what sources say about each image."""
    observations = catalog.table("observations").read()
    offered = _aligned(current(observations, sources), "image_id", images)
    seen = observations.select(["image_id", "observed_at"])
    latest = seen.filter(pc.is_valid(seen["image_id"])).group_by("image_id")
    times = _aligned(latest.aggregate([("observed_at", "max")]), "image_id", images)
    fields = [_fields(text) for text in offered["fields"].to_pylist()]
    return {
        "source": offered["source"],
        "label": _cleaned(offered["label"].to_pylist()),
        "locator": _cleaned(offered["locator"].to_pylist()),
        "tags": pa.array(
            [[clean(tag, 64) for tag in tags or ()] for tags in offered["tags"].to_pylist()],
            pa.list_(pa.string()),
        ),
        "observed_at": times["observed_at_max"],
        **{name: _cleaned([found.get(name) for found in fields]) for name in _FIELDS},
    }


def _fields(text: str | None) -> dict[str, str]:
    """Read the fields that the page shows out of a JSON object."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {
        name: str(found[name])
        for name in _FIELDS
        if isinstance(found, dict) and isinstance(found.get(name), str | int | float)
    }


def _cleaned(values: Sequence[str | None]) -> pa.Array[Any]:
    return pa.array([clean(value, _LONGEST) if value else None for value in values], pa.string())


def _hex(hashes: Any) -> pa.Array[Any]:
    return pa.array(
        [None if value is None else value.hex() for value in hashes.to_pylist()], pa.string()
    )


def _clusters(groups: pa.Table, ids: Any) -> dict[str, Any]:
    """Name the cluster of each item; none for those that are alone."""
    keeper = groups["duplicate_of"].combine_chunks()
    is_keeper = pc.is_in(ids, value_set=keeper.drop_null())
    own = pc.if_else(is_keeper, ids, pa.scalar(None, pa.string()))
    silhouettes = groups["silhouette_cluster"].combine_chunks()
    counted = pc.value_counts(silhouettes.drop_null())
    several = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    shared = pc.is_in(silhouettes, value_set=several)
    return {
        "duplicate": pc.coalesce(keeper, own.combine_chunks()),
        "relation": groups["relation"],
        "distance": groups["distance"],
        "colourway": pc.if_else(shared, silhouettes, pa.scalar(None, pa.string())),
        "colourway_rank": groups["colourway_rank"],
    }


def _raw(catalog: Catalog, images: Any) -> dict[str, Any]:
    """Tell where the bytes are, as they came."""
    found = _aligned(catalog.table("images").read(), "image_id", images)
    return {f"raw_{name}": found[name] for name in ("pack", "offset", "length")}
