"""Stage: the report page of one build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.judging import Rules
from curation.recipe import Recipe
from curation.report.collect import collect
from curation.report.model import RuleView
from curation.report.pictures import contact_sheet, funnel_svg
from curation.report.render import render
from curation.scorers import Scorer
from curation.stages.judge import ItemSet, Judgement
from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef


@dataclass(frozen=True, slots=True)
class Report:
    """What there is to see of a build.

    Attributes
    ----------
    page : str
        HTML, all in one.
    funnel : str
        What was left after each step, as SVG.
    sheet : bytes or None
        Thumbnails by reason, as JPEG; None where there are none.
    """

    page: str
    funnel: str
    sheet: bytes | None


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
) -> Report:
    """Render the report of a build.

    Thumbnails go into the page as they are stored: nothing is decoded for it.
    """
    features = _with_colourway_number(items.features, judgement.groups)
    features = _with_scores(features, judgement)
    places = selection.select(["id", "image_id", "locator", "source", "label"])
    model = collect(
        name=name,
        build=build,
        built_at=built_at,
        recipe=recipe,
        summary={**summary, **_judged_by(judgement)},
        inversion=asdict(judgement.inversion),
        features=features,
        verdicts=judgement.verdicts,
        groups=judgement.groups,
        locators=places.rename_columns(["item_id", "image_id", "locator", "source", "label"]),
        rules=rule_views(rules),
        failures=items.unread,
        thumbs=_ThumbReader(catalog, recipe, items.features),
    )
    return Report(render(model), funnel_svg(model.funnel), contact_sheet(model))


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


def _with_scores(features: pa.Table, judgement: Judgement) -> pa.Table:
    """Join places by score, and the scores themselves; null where there are none."""
    ids, verdicts = features["item_id"], judgement.verdicts
    at = pc.index_in(ids, value_set=verdicts["item_id"].combine_chunks())
    for scorer in Scorer:
        features = features.append_column(scorer.place, verdicts[scorer.place].take(at))
    for scorer, scores in judgement.scores.items():
        at = pc.index_in(ids, value_set=scores["item_id"].combine_chunks())
        features = features.append_column(scorer.score, scores["mean"].take(at))
    return features


def _judged_by(judgement: Judgement) -> dict[str, Any]:
    """Name who gave scores, and tell of how many pictures the place by them is known."""
    facts: dict[str, Any] = {}
    for scorer, scores in judgement.scores.items():
        column = judgement.verdicts[scorer.place]
        facts[scorer.value] = scores["model"][0].as_py()
        facts[f"compared by {scorer.called}"] = len(column) - column.null_count
    return facts


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
