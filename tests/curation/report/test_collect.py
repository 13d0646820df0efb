from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.recipe import Recipe
from curation.report.collect import MAX_CARDS, collect, fair_level
from curation.report.model import ReportModel, RuleView
from curation.scorers import BY_PLACE
from data_catalog.schema import FEATURES, GROUPS, VERDICTS, Reason, Verdict

RULES = (
    RuleView(Reason.TOO_SMALL, "shorter_side", 300, "<", "reject", "A side is too short."),
    RuleView(Reason.BLURRED, "sharpness", 0.5, "<", "flag", "It is soft."),
    RuleView(Reason.PATTERN, "pattern", 0.9, ">", "off", "Fabric."),
    RuleView(Reason.NEAR_DUPLICATE, "", None, ">", "reject", "The same picture."),
    RuleView(Reason.COLOURWAY, "colourway_rank", 1, ">", "reject", "Too many colours."),
)
FAILURE_COLUMNS = {"locator": pa.string(), "failure": pa.string(), "detail": pa.string()}


class Tables:
    """A build of `count` items; each test changes what it is about."""

    def __init__(self, count: int) -> None:
        self.ids = [f"item{i:05d}" for i in range(count)]
        self.sides = [600] * count
        self.sharpness = [0.8] * count
        self.reasons: list[list[str]] = [[] for _ in range(count)]
        self.verdicts = ["accepted"] * count
        self.failures: list[str | None] = [None] * count
        self.decided_by = ["rules"] * count
        self.keepers: list[int | None] = [None] * count
        self.silhouettes: list[int | None] = [None] * count
        self.ranks: list[int | None] = [None] * count
        self.distances = [0.05] * count
        self.labels: list[str | None] = [None] * count
        self.asked: list[list[str]] = []

    def give(self, item: int, verdict: str, *reasons: Reason) -> None:
        self.verdicts[item] = verdict
        self.reasons[item] = [str(r) for r in reasons]

    def thumbs(self, ids: Sequence[str]) -> dict[str, bytes]:
        self.asked.append(list(ids))
        return {i: b"\xff\xd8\xff" + i.encode() for i in ids}

    def features(self) -> pa.Table:
        columns: dict[str, Any] = {
            "item_id": self.ids,
            "image_id": self.ids,
            "recipe": ["r"] * len(self.ids),
            "width": self.sides,
            "height": [s + 100 for s in self.sides],
            "file_bytes": [40_000] * len(self.ids),
            "sharpness": self.sharpness,
            "failure": self.failures,
            "detail": ["cut short" if f else None for f in self.failures],
        }
        empty = {f.name: pa.nulls(len(self.ids), f.type) for f in FEATURES}
        return pa.table(
            {**empty, **columns}, schema=pa.schema([f.with_nullable(True) for f in FEATURES])
        )

    def groups(self) -> pa.Table:
        def name(i: int | None) -> str | None:
            return None if i is None else self.ids[i]

        return pa.table(
            {
                "item_id": self.ids,
                "duplicate_of": [name(k) for k in self.keepers],
                "relation": [None if k is None else "near_duplicate" for k in self.keepers],
                "distance": [
                    None if k is None else d
                    for k, d in zip(self.keepers, self.distances, strict=True)
                ],
                "silhouette_cluster": [name(s) for s in self.silhouettes],
                "colourway_rank": self.ranks,
            },
            schema=GROUPS,
        )

    def collect(self, **changes: Any) -> ReportModel:
        verdicts = {
            "item_id": self.ids,
            "image_id": self.ids,
            "verdict": self.verdicts,
            "reasons": self.reasons,
            "decided_by": self.decided_by,
            **{column: [None] * len(self.ids) for column in BY_PLACE},
        }
        places = {
            "image_id": self.ids,
            "locator": [f"shop/{i}.jpg" for i in self.ids],
            "label": self.labels,
        }
        given: dict[str, Any] = {
            "name": "shop",
            "build": "b1",
            "built_at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            "recipe": Recipe(),
            "summary": {"seen": len(self.ids) + 5, "seconds": 1.5},
            "inversion": {"inverted": True, "white_border_share": 0.8},
            "features": self.features(),
            "verdicts": pa.table(verdicts, schema=VERDICTS),
            "groups": self.groups(),
            "locators": pa.table(places, schema=pa.schema([(c, pa.string()) for c in places])),
            "rules": RULES,
            "failures": pa.schema(list(FAILURE_COLUMNS.items())).empty_table(),
            "thumbs": self.thumbs,
        }
        return collect(**{**given, **changes})


def titles(model: ReportModel, reason: Reason) -> dict[str, list[str]]:
    section = next(s for s in model.sections if s.reason is reason)
    return {sheet.title: [c.item_id for c in sheet.cards] for sheet in section.sheets}


def mixed() -> Tables:
    tables = Tables(30)
    tables.give(0, "failed", Reason.CORRUPT)
    tables.failures[0] = "corrupt"
    for i in (1, 2, 3):
        tables.give(i, "rejected", Reason.TOO_SMALL)
        tables.sides[i] = 100 * i - 1
    tables.give(4, "rejected", Reason.BLURRED, Reason.NEAR_DUPLICATE)
    tables.keepers[4] = 5
    tables.give(6, "flagged", Reason.BLURRED)
    tables.sharpness[6] = tables.sharpness[4] = 0.2
    tables.give(7, "rejected", Reason.DECIDED)
    tables.decided_by[7] = "ann"
    return tables


def test_the_numbers_add_up() -> None:
    model = mixed().collect()
    assert dict(model.verdicts) == {
        Verdict.ACCEPTED: 23,
        Verdict.FLAGGED: 1,
        Verdict.REJECTED: 5,
        Verdict.FAILED: 1,
    }
    assert sum(n for _, n in model.verdicts) == model.items == 30


def test_the_funnel_names_what_each_step_took() -> None:
    steps = {s.label: (s.count, s.note) for s in mixed().collect().funnel}
    assert steps == {
        "Offered by the sources": (35, ""),
        "Distinct items": (30, "5 repeated files"),
        "Could be read": (29, "1 failed"),
        "Good pictures": (26, "3 rejected by rules on the picture"),
        # It was blurred too, but that only flags.
        "No copies": (25, "1 rejected as copies or colourways"),
        "Kept by people": (24, "1 rejected by people"),
        "Accepted": (23, "1 flagged, waiting for a person"),
    }


def test_places_by_d_score_are_drawn_as_scores_and_told_as_places() -> None:
    rules = (
        RuleView(Reason.LOW_D_SCORE, "d_percentile", 10.0, "<", "reject", "A fake."),
        RuleView(Reason.HIGH_D_SCORE, "d_percentile", 99.5, ">", "off", "Too sure."),
    )
    tables = Tables(20)
    for i in (0, 1):
        tables.give(i, "rejected", Reason.LOW_D_SCORE)
    place = [100 * (i + 0.5) / 20 for i in range(20)]
    features = tables.features().append_column("d_percentile", pa.array(place, pa.float32()))
    features = features.append_column("d_score", pa.array([i - 7.0 for i in range(20)]))
    model = tables.collect(rules=rules, features=features)
    low, high = model.sections
    assert low.rules == ("place by D score < 10",)
    (plot,) = low.histograms
    assert (plot.column, plot.measured) == ("d_score", 20)
    (mark,) = plot.marks
    assert (mark.position, mark.beyond, mark.text) == (-5.5, 2, "place by D score < 10")
    assert [card.value for card in low.sheets[0].cards] == ["2.5", "7.5"]
    assert (high.count, high.histograms[0].column) == (0, "d_score")
    assert [h.title for h in model.histograms].count("D score") == 1
    step = next(s for s in model.funnel if s.label == "Liked by the discriminator")
    assert (step.count, step.note) == (18, "2 rejected by their score")
    assert not any(s.label == "Like the others" for s in model.funnel)
    # Before anything was scored there is nothing to draw.
    assert not any(s.histograms for s in tables.collect(rules=rules).sections)


def test_unlike_pictures_are_a_step_of_their_own() -> None:
    rules = (
        RuleView(Reason.UNLIKE_OTHERS, "density_percentile", 10.0, "<", "reject", "Unlike."),
        RuleView(Reason.LOW_D_SCORE, "d_percentile", 10.0, "<", "reject", "A fake."),
    )
    tables = Tables(20)
    tables.give(0, "rejected", Reason.UNLIKE_OTHERS, Reason.LOW_D_SCORE)
    tables.give(1, "rejected", Reason.UNLIKE_OTHERS)
    tables.give(2, "rejected", Reason.LOW_D_SCORE)
    place = pa.array([100 * (i + 0.5) / 20 for i in range(20)], pa.float32())
    features = tables.features().append_column("density_percentile", place)
    features = features.append_column("density_score", pa.array([i - 30.0 for i in range(20)]))
    model = tables.collect(rules=rules, features=features)
    steps = {s.label: (s.count, s.note) for s in model.funnel}
    assert steps["Like the others"] == (18, "2 rejected as unlike the others")
    assert steps["Liked by the discriminator"] == (17, "1 rejected by their score")
    unlike, _ = model.sections
    assert unlike.rules == ("place by likeness to others < 10",)
    (plot,) = unlike.histograms
    assert (plot.column, plot.title, plot.marks[0].position) == (
        "density_score",
        "likeness to others",
        -28.5,
    )


def test_an_empty_build_gives_an_empty_report() -> None:
    tables = Tables(0)
    model = tables.collect(summary={})
    assert model.items == 0
    assert model.funnel[-1].count == 0
    assert not model.sample.cards and not model.histograms and not model.failures
    assert tables.asked == []


def test_few_examples_are_shown_furthest_first_with_their_value() -> None:
    section = next(s for s in mixed().collect().sections if s.reason is Reason.TOO_SMALL)
    assert section.rules == ("shorter side < 300 px",)
    assert [c.value for c in section.sheets[0].cards] == ["99 px", "199 px", "299 px"]
    assert section.verdicts == ((Verdict.REJECTED, 3),)


def test_many_examples_are_shown_from_both_ends() -> None:
    tables = Tables(400)
    for i in range(200):
        tables.sides[i] = 100 + i
        tables.give(i, "rejected", Reason.TOO_SMALL)
    for i in range(200, 400):
        tables.sides[i] = 100 + i
    shown = titles(tables.collect(), Reason.TOO_SMALL)
    assert shown["Furthest beyond the threshold"] == tables.ids[:20]
    assert shown["Nearest to the threshold"] == tables.ids[199:179:-1]
    assert shown["Just passed"] == tables.ids[200:210]


def test_a_measure_at_its_safe_end_is_no_near_miss() -> None:
    tables = mixed()
    tables.sides[10] = 320
    assert titles(tables.collect(), Reason.TOO_SMALL)["Just passed"] == [tables.ids[10]]


def test_a_reason_without_a_measure_gets_a_sample() -> None:
    assert titles(mixed().collect(), Reason.DECIDED) == {"A sample": ["item00007"]}


def test_a_rule_that_is_off_has_no_items_but_stays_listed() -> None:
    pattern = next(s for s in mixed().collect().sections if s.reason is Reason.PATTERN)
    assert (pattern.action, pattern.count, pattern.sheets) == ("off", 0, ())


def test_copies_stand_beside_their_keeper() -> None:
    (cluster,) = mixed().collect().clusters
    assert [m.card.item_id for m in cluster.members] == ["item00005", "item00004"]
    assert [m.relation for m in cluster.members] == [None, Reason.NEAR_DUPLICATE]
    assert cluster.members[1].size == "600 × 700 px, 40 kB"


def test_the_least_certain_clusters_are_among_those_shown() -> None:
    tables = Tables(300)
    for i in range(100):
        tables.keepers[3 * i + 1] = tables.keepers[3 * i + 2] = 3 * i
    tables.distances[250] = 0.4
    model = tables.collect()
    assert model.cluster_count == 100
    assert model.clusters[0].key == "item00249"
    assert len({c.key for c in model.clusters}) == len(model.clusters) == 24


def test_colourways_are_in_the_order_of_their_rank() -> None:
    tables = Tables(20)
    for i, rank in ((3, 1), (4, 0), (5, 2)):
        tables.silhouettes[i], tables.ranks[i] = 4, rank
    tables.silhouettes[9], tables.ranks[9] = 9, 0  # a cluster of one is none
    tables.give(5, "rejected", Reason.COLOURWAY)
    model = tables.collect()
    assert model.colourway_count == 1
    assert [m.card.item_id for m in model.colourways[0].members] == [
        "item00004",
        "item00003",
        "item00005",
    ]
    assert model.colourways[0].note == "1 over the cap"


def test_failures_of_both_kinds_have_examples() -> None:
    gone = pa.table({"locator": ["a.jpg"], "failure": ["empty_file"], "detail": ["0 bytes"]})
    groups = {f.reason: f for f in mixed().collect(failures=gone).failures}
    assert groups[Reason.EMPTY_FILE].examples[0].detail == "0 bytes"
    assert groups[Reason.CORRUPT].examples[0].locator == "shop/item00000.jpg"
    assert groups[Reason.CORRUPT].count == 1


def test_thumbnails_are_asked_for_once_and_bounded() -> None:
    tables = Tables(6000)
    for i in range(5000):
        tables.sides[i] = 100
        tables.sharpness[i] = 0.1
        tables.give(i, "rejected", *list(Reason)[14:27])
    many = [RuleView(r, "sharpness", 0.5, "<", "reject", "") for r in list(Reason)[14:27]]
    model = tables.collect(rules=many)
    (asked,) = tables.asked
    cards = [*model.sample.cards, *(c for s in model.sections for x in s.sheets for c in x.cards)]
    assert len(asked) == len(set(asked))
    assert 500 < len(cards) <= MAX_CARDS
    assert all(c.thumb for c in cards)


def test_a_missing_thumbnail_leaves_a_card_without_picture() -> None:
    model = mixed().collect(thumbs=lambda ids: {})
    assert model.sample.cards and all(c.thumb is None for c in model.sample.cards)


def test_one_seed_one_sample() -> None:
    tables = Tables(500)
    first, same, other = (tables.collect(seed=s).sample.cards for s in (1, 1, 2))
    assert first == same != other


def test_locators_may_be_a_mapping_of_image_or_item_ids() -> None:
    tables = Tables(2)
    model = tables.collect(locators={tables.ids[0]: "a.jpg"})
    assert {c.locator for c in model.sample.cards} == {"a.jpg", tables.ids[1]}


def test_labels_are_counted_with_what_is_accepted() -> None:
    tables = mixed()
    tables.labels[:8] = ["dress"] * 8
    labels = {x.label: (x.items, x.accepted) for x in tables.collect().labels}
    assert labels == {"(none)": (22, 22), "dress": (8, 1)}


def test_inversion_and_facts_are_told_in_words() -> None:
    model = mixed().collect()
    assert model.inversion.inverted
    assert ("white border share", "0.8") in model.inversion.figures
    assert ("seconds", "1.5") in model.facts


@given(st.lists(st.integers(0, 60), max_size=20), st.integers(0, 500))
def test_fair_level_spends_all_that_is_wished_for_and_no_more(
    wishes: list[int], budget: int
) -> None:
    level = fair_level(wishes, budget)
    assert sum(min(w, level) for w in wishes) <= budget
    if sum(wishes) > budget:
        assert sum(min(w, level + 1) for w in wishes) > budget


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_measured_is_no_error(count: int) -> None:
    tables = Tables(count)
    empty = {f.name: pa.nulls(count, f.type) for f in FEATURES if f.name != "item_id"}
    features = pa.table({"item_id": tables.ids, **empty})
    model = tables.collect(features=features)
    assert model.histograms == ()
    assert np.all([s.histograms == () for s in model.sections])
