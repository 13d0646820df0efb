"""Looking things up in a catalog: its state, and everything that is known about one image."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.ingest.selection import current
from curation.ingest.sources import SourceConfig
from curation.ingest.web.history import last_crawl
from curation.judging import OF_SCORES, Rule, Threshold, measured
from curation.scorers import Scorer
from curation.stages.scores import current_scores
from data_catalog.catalog import Catalog
from data_catalog.decisions import record
from data_catalog.errors import CatalogError
from data_catalog.schema import DECISIONS
from data_catalog.versions import list_versions, read_members
from flows.catalog import open_catalog
from flows.settings import DatasetConfig
from flows.trainings.runs import summaries
from review_ui.store import exchange

# The box at the end of the id of an item that was cut out of an image.
_CROP: Final = re.compile(r"(?<=[0-9a-f])#\d+,\d+,\d+,\d+$")


def status(config: DatasetConfig) -> dict[str, Any]:
    """Sum up a catalog: sources, the last build, versions, decisions, the newest run."""
    catalog = open_catalog(config)
    builds = catalog.table("builds").read().sort_by("built_at").to_pylist()
    last = builds[-1] if builds else None
    return {
        "dataset": config.dataset.name,
        "root": catalog.root.url,
        "sources": [_source_state(catalog, source) for source in config.sources],
        "images": catalog.table("images").read(["image_id"]).num_rows,
        "decisions": catalog.table("decisions").read(["item_id"]).num_rows,
        "forgotten": catalog.table("tombstones").read(["image_id"]).num_rows,
        "build": None
        if last is None
        else {
            "build": last["build"],
            "built_at": last["built_at"].isoformat(timespec="seconds"),
            "recipe": last["recipe"],
            "inverted": last["inverted"],
            **json.loads(last["summary"]),
        },
        "versions": [
            {
                "version": v.version,
                "split": v.split,
                "items": v.items,
                "shards": v.shards,
                "hash": v.hash,
            }
            for v in list_versions(catalog)
        ],
        "run": _newest_run(config),
    }


def _newest_run(config: DatasetConfig) -> dict[str, Any] | None:
    """Give the run that was started last; None where there is none, or nowhere to keep one."""
    runs = summaries(config)
    return runs[0].model_dump(mode="json") if runs else None


def _source_state(catalog: Catalog, source: SourceConfig) -> dict[str, Any]:
    """Count what the source offers now: the latest observations that pass its filters."""
    rows = catalog.table("observations").read(where=pc.field("source") == source.name)
    now = current(rows, [source])
    failures = pc.value_counts(now["failure"].drop_null()).to_pylist()
    return {
        "source": source.name,
        "observations": pc.sum(now["observations"]).as_py() or 0,
        "images": now.num_rows - now["image_id"].null_count,
        "failures": {entry["values"]: entry["counts"] for entry in failures},
        "crawl": last_crawl(catalog.table("pages").read(where=pc.field("source") == source.name)),
    }


def find_image(catalog: Catalog, query: str) -> str:
    """Turn an image id, the beginning of one, an item id, or a locator into an image id.

    Raises
    ------
    CatalogError
        If nothing or more than one image matches.
    """
    matches = _by_id(catalog, _CROP.sub("", query))
    if not matches:
        rows = _at_path(catalog, query)
        matches = {row["image_id"] for row in rows if row["image_id"]}
        if not matches and rows:
            last = rows[-1]
            raise CatalogError(f"{query!r} gave no image: {last['failure']}: {last['detail']}")
    if len(matches) == 1:
        return str(matches.pop())
    if not matches:
        raise CatalogError(f"the catalog knows no image {query!r}; give an image id or a path")
    shown = ", ".join(sorted(match[:12] for match in matches)[:8])
    raise CatalogError(f"{query!r} fits {len(matches)} images ({shown}); give a longer id")


def _by_id(catalog: Catalog, beginning: str) -> set[str]:
    """Find images, forgotten ones among them, by the beginning of their id."""
    if len(beginning) < 6:
        return set()
    where = pc.starts_with(pc.field("image_id"), beginning)
    return {
        image_id
        for name in ("observations", "tombstones")
        for image_id in catalog.table(name).read(["image_id"], where=where)["image_id"].to_pylist()
    }


def _at_path(catalog: Catalog, path: str) -> list[dict[str, Any]]:
    """Give what lies at a path now: the latest observation of each locator that ends with it."""
    locator = pc.field("locator")
    where = (locator == path) | pc.ends_with(locator, f"/{path}")
    columns = ["source", "locator", "image_id", "failure", "detail", "observed_at"]
    rows = catalog.table("observations").read(columns, where=where).sort_by("observed_at")
    latest = {(row["source"], row["locator"]): row for row in rows.to_pylist()}
    return sorted(latest.values(), key=lambda row: row["observed_at"])


def why(config: DatasetConfig, query: str) -> dict[str, Any]:
    """Tell everything known about one image, from its sources to the versions it is in."""
    catalog = open_catalog(config)
    image_id = find_image(catalog, query)
    is_image = pc.field("image_id") == image_id
    features = catalog.table("features").read(
        where=is_image & (pc.field("recipe") == config.recipe.id)
    )
    return {
        "image_id": image_id,
        "observations": _rows(catalog, "observations", is_image),
        "image": next(iter(_rows(catalog, "images", is_image)), None),
        "items": [_item(config, catalog, features.slice(i, 1)) for i in range(features.num_rows)],
        "versions": [
            version.version
            for version in list_versions(catalog)
            if pc.any(
                pc.equal(read_members(version.path, ["image_id"])["image_id"], image_id)
            ).as_py()
        ],
        "forgotten": _rows(catalog, "tombstones", is_image),
    }


def _rows(catalog: Catalog, table: str, where: pc.Expression) -> list[dict[str, Any]]:
    return [_plain(row) for row in catalog.table(table).read(where=where).to_pylist()]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Drop what people cannot read, and what is not known."""
    return {
        key: value.isoformat() if hasattr(value, "isoformat") else value
        for key, value in row.items()
        if value is not None and not isinstance(value, bytes)
    }


def _item(config: DatasetConfig, catalog: Catalog, features: pa.Table) -> dict[str, Any]:
    item_id = features["item_id"][0].as_py()
    is_item = pc.field("item_id") == item_id
    verdict = next(iter(_rows(catalog, "verdicts", is_item)), {})
    either = (pc.field("item_a") == item_id) | (pc.field("item_b") == item_id)
    return {
        "item_id": item_id,
        "verdict": verdict.get("verdict"),
        "decided_by": verdict.get("decided_by"),
        "reasons": verdict.get("reasons", []),
        "tests": _tests(config, features, verdict),
        "scores": _scores(config, catalog, item_id, verdict),
        "group": next(iter(_rows(catalog, "groups", is_item)), None),
        "related": [
            {
                "item": row["item_b"] if row["item_a"] == item_id else row["item_a"],
                "relation": row["relation"],
                "distance": round(row["distance"], 4),
            }
            for row in _rows(catalog, "pairs", either & (pc.field("recipe") == config.recipe.id))
            if row["relation"] != "different"
        ],
        "decisions": _rows(catalog, "decisions", is_item),
        "features": _plain(features.to_pylist()[0]),
    }


def _scores(
    config: DatasetConfig, catalog: Catalog, item_id: str, verdict: Mapping[str, Any]
) -> dict[Scorer, dict[str, Any]]:
    """Give the scores that count, by scorer.

    `percentile` is among all that it had scored when they were ranked, `place` among what no other
    rule rejected in the last build.
    """
    names = ("model", "mean", "standard_error", "percentile", "fold", "scored_at")
    found = {}
    for scorer, rows in current_scores(catalog, config.recipe, item_id=item_id).items():
        row = _plain(rows.to_pylist()[0])
        known = {name: row.get(name) for name in names}
        found[scorer] = {**known, "place": verdict.get(scorer.place)}
    return found


def _tests(
    config: DatasetConfig, features: pa.Table, verdict: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Hold each measure against its threshold, as the rules do."""
    of_images = [
        _test(rule, test, float(measured(features, {test.column})[test.column][0]))
        for rule in config.rules.on_images()
        for test in rule.thresholds()
    ]
    of_scores = [
        _test(rule, test, verdict.get(OF_SCORES[rule.reason].place, math.nan))
        for rule in config.rules.on_scores()
        for test in rule.thresholds()
    ]
    return of_images + of_scores


def _test(rule: Rule, test: Threshold, value: float) -> dict[str, Any]:
    known = not math.isnan(value)
    broken = known and (value < test.limit if test.breaks == "<" else value > test.limit)
    return {
        "rule": rule.reason.value,
        "measure": test.column,
        "value": round(value, 4) if known else None,
        "broken_if": f"{test.breaks} {test.limit:g}",
        "broken": broken,
        "action": rule.action,
    }


def decide(
    config: DatasetConfig,
    query: str,
    verdict: str,
    reviewer: str,
    note: str,
    when: datetime,
) -> list[str]:
    """Record a person's word on an item, or on all items of an image.

    Parameters
    ----------
    query : str
        As in `find_image`; an item id with ``#`` means that crop alone.
    verdict : str
        accepted, rejected or undecided. The item's tags stay, and its note where `note` is empty.

    Returns
    -------
    list of str
        Ids of the items decided.
    """
    reviewer, note = exchange.reviewer_of(reviewer), exchange.note_of(note)
    catalog = open_catalog(config)
    image_id = find_image(catalog, query)
    where = (pc.field("image_id") == image_id) & (pc.field("recipe") == config.recipe.id)
    known = catalog.table("features").read(["item_id", "failure", "detail"], where)
    items = sorted(set(known.filter(pc.is_null(known["failure"]))["item_id"].to_pylist()))
    if known.num_rows and not items:
        row = known.slice(0, 1).to_pylist()[0]
        raise CatalogError(
            f"{query!r} has no picture to decide about: {row['failure']}: {row['detail']}"
        )
    crop = _CROP.search(query)
    if crop is not None:
        items = [item for item in items if item.endswith(crop[0])]
    if not items:
        raise CatalogError(f"{query!r} has no item by this recipe; run `nonesuch rebuild` first")
    rows = [
        {
            "item_id": item,
            "verdict": verdict,
            "note": note or None,
            "reviewer": reviewer,
            "decided_at": when,
        }
        for item in items
    ]
    record(catalog, pa.Table.from_pylist(rows, schema=DECISIONS))
    return items
