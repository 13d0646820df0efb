"""Stage: the report page of one build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.judging import Rules
from curation.recipe import Recipe
from curation.report.collect import collect
from curation.report.model import RuleView
from curation.report.render import render
from curation.stages.judge import ItemSet, Judgement
from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef


def write_report(
    catalog: Catalog,
    *,
    name: str,
    build: str,
    built_at: datetime,
    recipe: Recipe,
    rules: Rules,
    summary: Mapping[str, Any],
    items: ItemSet,
    judgement: Judgement,
    selection: pa.Table,
) -> str:
    """Render the report of a build; gives the page's HTML.

    Thumbnails go into the page as they are stored: nothing is decoded for it.
    """
    features = _with_colourway_number(items.features, judgement.groups)
    places = selection.select(["id", "image_id", "locator", "source", "label"])
    model = collect(
        name=name,
        build=build,
        built_at=built_at,
        recipe=recipe,
        summary=summary,
        inversion=asdict(judgement.inversion),
        features=features,
        verdicts=judgement.verdicts,
        groups=judgement.groups,
        locators=places.rename_columns(["item_id", "image_id", "locator", "source", "label"]),
        rules=rule_views(rules),
        failures=items.unread,
        thumbs=_ThumbReader(catalog, recipe, items.features),
    )
    return render(model)


def rule_views(rules: Rules) -> list[RuleView]:
    """Give the rules as the report shows them, one a threshold."""
    views = []
    for rule in rules.all():
        tests = rule.thresholds()
        for test in tests:
            views.append(
                RuleView(
                    rule.reason, test.column, test.limit, test.breaks, rule.action, rule.meaning
                )
            )
        if not tests:
            views.append(RuleView(rule.reason, "", None, ">", rule.action, rule.meaning))
    return views


def _with_colourway_number(features: pa.Table, groups: pa.Table) -> pa.Table:
    """Join the measure that the colourway rule is about; null outside colourway clusters."""
    at = pc.index_in(features["item_id"], value_set=groups["item_id"].combine_chunks())
    number = pc.add(groups["colourway_rank"].combine_chunks(), 1).take(at)
    return features.append_column("colourway_number", number)


class _ThumbReader:
    """Reads thumbnails of items by id."""

    def __init__(self, catalog: Catalog, recipe: Recipe, features: pa.Table) -> None:
        self._store = catalog.standard(recipe.id)
        self._features = features

    def __call__(self, item_ids: Sequence[str]) -> dict[str, bytes]:
        columns = ["item_id", "pack", "thumb_offset", "thumb_length"]
        wanted = pc.is_in(self._features["item_id"], value_set=pa.array(item_ids, pa.string()))
        rows = self._features.select(columns).filter(wanted)
        rows = rows.filter(pc.is_valid(rows["pack"])).sort_by(
            [("pack", "ascending"), ("thumb_offset", "ascending")]
        )
        ids, packs, offsets, lengths = (rows[name].to_pylist() for name in columns)
        refs = (PackRef(*ref) for ref in zip(packs, offsets, lengths, strict=True))
        return dict(zip(ids, self._store.read_many(refs), strict=True))
