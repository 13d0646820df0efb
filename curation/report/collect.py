"""Tables in, report model out: chooses what the page shows, and asks for those thumbnails alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.judging import OF_SCORES
from curation.recipe import Recipe
from curation.report.clusters import colourway_clusters, duplicate_clusters
from curation.report.histograms import drawn, rule_text
from curation.report.items import NO_ROWS, Items, Rows, align, array, cards, excess
from curation.report.model import (
    Card,
    Cluster,
    FailureExample,
    FailureGroup,
    FunnelStep,
    Histogram,
    Inversion,
    LabelCount,
    ReasonSection,
    ReportModel,
    RuleView,
    Sheet,
)
from curation.report.wording import MEANINGS, OVERVIEW, clean, number
from curation.scorers import Scorer
from data_catalog.schema import FAILURES, Reason, Verdict

Thumbs = Callable[[Sequence[str]], Mapping[str, bytes]]

MAX_CARDS: Final = 800  # pictures on the page: at 5 kB each, about 5.5 MB of HTML
SAMPLE: Final = 80
_SECTION = 50  # pictures of one reason: 20 furthest, 20 nearest, 10 that just passed
_EXAMPLES = 12
_LABELS = 30

COPIES: Final = (Reason.PIXEL_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.MIRRORED_COPY)
_LIKED: Final = {
    Scorer.DENSITY: ("Like the others", "rejected as unlike the others"),
    Scorer.DISCRIMINATOR: ("Liked by the discriminator", "rejected by their score"),
}


def collect(
    *,
    name: str,
    build: str,
    built_at: datetime,
    recipe: Recipe,
    summary: Mapping[str, Any],
    inversion: Mapping[str, Any],
    features: pa.Table,
    verdicts: pa.Table,
    groups: pa.Table,
    locators: Mapping[str, str] | pa.Table,
    rules: Sequence[RuleView],
    failures: pa.Table,
    thumbs: Thumbs,
    seed: int = 0,
) -> ReportModel:
    """Build the report of one build.

    Parameters
    ----------
    name, build, built_at
        Of the dataset and the build; the time is passed in so that the page is reproducible.
    recipe
        How the pictures were standardized.
    summary
        Counts of the run; `seen` heads the funnel, other numbers are listed. Verdicts and reasons
        are counted from `verdicts`, not taken from here.
    inversion
        `inverted`, and whatever figures led to it.
    features
        Of this recipe, one row an item (`data_catalog.schema.FEATURES`); further columns may be
        joined to it, and a rule may name them.
    verdicts, groups
        `VERDICTS` and `GROUPS` of the schema; every item has one verdict.
    locators
        Where items came from: item or image id to locator, or a table with `item_id` or
        `image_id`, `locator`, and optionally `source` and `label`.
    rules
        All rules, also those that are off.
    failures
        Observations without bytes: `locator`, `failure`, `detail`. Items that could not be
        standardized need not be repeated, they are found in `features`.
    thumbs
        Gives the thumbnails of the ids it is asked for; called once, with at most `MAX_CARDS` ids.
        What it leaves out is shown without a picture.
    seed
        Of the random samples.
    """
    items = align(features, verdicts, groups, locators)
    rng = np.random.default_rng(seed)
    accepted = np.flatnonzero(items.verdict == Verdict.ACCEPTED)
    kept = cards(items, _draw(rng, accepted, SAMPLE))
    sample = Sheet("Kept", "Drawn at random.", Verdict.ACCEPTED, kept)
    clusters, cluster_count = duplicate_clusters(items)
    colourways, colourway_count = colourway_clusters(items)
    spent = len(sample.cards) + sum(len(c.members) for c in (*clusters, *colourways))
    labels = _labels(items)
    sections = _sections(items, rules, MAX_CARDS - spent, rng)
    grouped = {Reason.COLOURWAY, *COPIES}
    model = ReportModel(
        name=clean(name),
        build=clean(build),
        built_at=built_at,
        recipe=_pairs(recipe.model_dump()),
        facts=_pairs({k: v for k, v in summary.items() if k not in _TOLD_ELSEWHERE}),
        items=items.count,
        verdicts=tuple((v, int(np.count_nonzero(items.verdict == v))) for v in Verdict),
        funnel=_funnel(items, rules, summary),
        sample=sample,
        sections=tuple(s for s in sections if s.reason not in grouped),
        copies=tuple(s for s in sections if s.reason in COPIES),
        clusters=clusters,
        cluster_count=cluster_count,
        colourway=next((s for s in sections if s.reason is Reason.COLOURWAY), None),
        colourways=colourways,
        colourway_count=colourway_count,
        failures=_failures(items, failures),
        histograms=_all_histograms(items, rules),
        inversion=Inversion(
            bool(inversion.get("inverted", False)),
            _pairs({k: v for k, v in inversion.items() if k != "inverted"}),
        ),
        labels=labels[:_LABELS],
        other_labels=max(0, len(labels) - _LABELS),
    )
    return _with_thumbs(model, thumbs)


_TOLD_ELSEWHERE: Final = frozenset(
    {"items", "accepted", "flagged", "rejected", "failed", "reasons", "build"}
)


def _draw(rng: np.random.Generator, rows: Rows, most: int) -> Rows:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)


def _with_thumbs(model: ReportModel, thumbs: Thumbs) -> ReportModel:
    """Ask for all thumbnails at once, then put them into the cards."""
    sheets = (model.sample, *(sheet for s in model.sections for sheet in s.sheets))
    clusters = (*model.clusters, *model.colourways)
    wanted = dict.fromkeys(c.item_id for sheet in sheets for c in sheet.cards)
    wanted |= dict.fromkeys(m.card.item_id for c in clusters for m in c.members)
    found = thumbs(list(wanted)) if wanted else {}

    def card(empty: Card) -> Card:
        return replace(empty, thumb=found.get(empty.item_id))

    def sheet(empty: Sheet) -> Sheet:
        return replace(empty, cards=tuple(card(c) for c in empty.cards))

    def cluster(empty: Cluster) -> Cluster:
        members = (replace(m, card=card(m.card)) for m in empty.members)
        return replace(empty, members=tuple(members))

    return replace(
        model,
        sample=sheet(model.sample),
        sections=tuple(
            replace(s, sheets=tuple(sheet(x) for x in s.sheets)) for s in model.sections
        ),
        clusters=tuple(cluster(c) for c in model.clusters),
        colourways=tuple(cluster(c) for c in model.colourways),
    )


# --- reasons ------------------------------------------------------------------------------------


def _sections(
    items: Items, rules: Sequence[RuleView], budget: int, rng: np.random.Generator
) -> list[ReasonSection]:
    told = [r.reason for r in rules]
    untold = [r for r in Reason if r in items.reasons and r not in FAILURES and r not in told]
    reasons = list(dict.fromkeys([*told, *untold]))
    pictured = [r for r in reasons if r not in COPIES and r is not Reason.COLOURWAY]
    # Ten more than carry the reason: those that just passed.
    wishes = [_wish(len(items.reasons.get(r, NO_ROWS))) for r in pictured]
    level = fair_level(wishes, budget)
    most: dict[Reason, int] = {r: min(w, level) for r, w in zip(pictured, wishes, strict=True)}
    return [_section(items, reason, rules, most.get(reason, 0), rng) for reason in reasons]


def _wish(count: int) -> int:
    return min(_SECTION, count + _SECTION // 5) if count else 0


def fair_level(wishes: Sequence[int], budget: int) -> int:
    """Find the highest level at which `sum(min(wish, level))` stays within the budget."""
    left = max(0, budget)
    rising = sorted(wishes)
    for i, wish in enumerate(rising):
        share = left // (len(rising) - i)
        if wish > share:
            return share
        left -= wish
    return max(rising, default=0)


def _section(
    items: Items,
    reason: Reason,
    all_rules: Sequence[RuleView],
    most: int,
    rng: np.random.Generator,
) -> ReasonSection:
    rules = [r for r in all_rules if r.reason is reason]
    rows = items.reasons.get(reason, NO_ROWS)
    columns = list(dict.fromkeys(r.column for r in rules if r.column))
    plots = (drawn(c, items.values, rules) for c in columns)
    became = items.verdict[rows]
    return ReasonSection(
        reason=reason,
        action=rules[0].action if rules else "reject",
        meaning=rules[0].meaning if rules else MEANINGS.get(reason, ""),
        rules=tuple(text for text in map(rule_text, rules) if text),
        count=len(rows),
        verdicts=tuple((v, n) for v in Verdict if (n := int(np.count_nonzero(became == v)))),
        histograms=tuple(h for h in plots if h),
        sheets=_sheets(items, rows, rules, most, rng) if most and len(rows) else (),
    )


def _sheets(
    items: Items,
    rows: Rows,
    rules: Sequence[RuleView],
    most: int,
    rng: np.random.Generator,
) -> tuple[Sheet, ...]:
    beyond = excess(items, rules)
    action = rules[0].action if rules else "reject"
    usual = Verdict.FLAGGED if action == "flag" else Verdict.REJECTED
    if not np.isfinite(beyond[rows]).any():
        drawn = cards(items, _draw(rng, rows, most), rules)
        return (Sheet("A sample", "Drawn at random.", usual, drawn),)
    passed = np.flatnonzero(~items.carry([rules[0].reason]) & np.isfinite(beyond))
    just_passed = passed[np.argsort(-beyond[passed], kind="stable")][: most // 5]
    ordered = rows[np.argsort(-beyond[rows], kind="stable")]
    broke = most - most // 5
    if len(ordered) <= broke:
        sheets = [("All of them", "Furthest beyond the threshold first.", usual, ordered)]
    else:
        far, near = ordered[: broke // 2], ordered[-(broke - broke // 2) :][::-1]
        sheets = [
            ("Furthest beyond the threshold", "The clearest cases.", usual, far),
            ("Nearest to the threshold", "The first to come back if it is relaxed.", usual, near),
        ]
    tighter = "The next to go if it is tightened."
    sheets.append(("Just passed", tighter, Verdict.ACCEPTED, just_passed))
    return tuple(Sheet(t, h, u, cards(items, r, rules)) for t, h, u, r in sheets if len(r))


def _all_histograms(items: Items, rules: Sequence[RuleView]) -> tuple[Histogram, ...]:
    columns = dict.fromkeys([*(r.column for r in rules if r.column), *OVERVIEW])
    plots = (drawn(c, items.values, rules) for c in columns)
    return tuple(h for h in plots if h)


# --- the funnel ---------------------------------------------------------------------------------


def _funnel(
    items: Items, rules: Sequence[RuleView], summary: Mapping[str, Any]
) -> tuple[FunnelStep, ...]:
    failed = items.verdict == Verdict.FAILED
    rejected = items.verdict == Verdict.REJECTED
    people = rejected & items.by_person
    # A rejected item may carry reasons that only flag; they did not take it.
    mild = {r.reason for r in rules if r.action == "flag"}
    grouped = {Reason.COLOURWAY, *COPIES}
    picture = set(items.reasons) - grouped - set(OF_SCORES) - mild - {Reason.DECIDED}
    left = rejected & ~people
    takes: list[tuple[str, str, npt.NDArray[np.bool_]]] = [
        ("Could be read", "failed", failed),
    ]
    for label, note, reasons in (
        ("Good pictures", "rejected by rules on the picture", picture),
        ("No copies", "rejected as copies or colourways", grouped),
        *(
            (*said, {reason for reason, by in OF_SCORES.items() if by is scorer})
            for scorer, said in _LIKED.items()
        ),
    ):
        mask = left & items.carry(reasons)
        takes.append((label, note, mask))
        left = left & ~mask
    takes.append(("Kept by people", "rejected by people", people | left))
    takes.append(("Accepted", "flagged, waiting for a person", items.verdict == Verdict.FLAGGED))

    count = items.count
    seen = int(summary.get("seen", count))
    steps = [FunnelStep("Offered by the sources", seen, "")]
    more = seen - count
    steps.append(
        FunnelStep("Distinct items", count, f"{more:,} repeated files" if more > 0 else "")
    )
    always = {"Could be read", "Good pictures", "No copies", "Accepted"}
    for label, note, mask in takes:
        taken = int(np.count_nonzero(mask))
        count -= taken
        if taken or label in always:
            steps.append(FunnelStep(label, count, f"{taken:,} {note}" if taken else ""))
    return tuple(steps)


# --- the rest -----------------------------------------------------------------------------------


def _failures(items: Items, failures: pa.Table) -> tuple[FailureGroup, ...]:
    counts: dict[Reason, int] = {}
    examples: dict[Reason, list[FailureExample]] = {}
    for failure, locator, detail in [*_without_bytes(failures), *_undecodable(items)]:
        reason = Reason(failure)
        counts[reason] = counts.get(reason, 0) + 1
        shown = examples.setdefault(reason, [])
        if len(shown) < _EXAMPLES:
            shown.append(FailureExample(clean(locator or "?"), clean(detail or "", 300)))
    # The verdicts are what the summary counts; examples only illustrate them.
    failed = items.verdict == Verdict.FAILED
    for reason, rows in items.reasons.items():
        if n := int(np.count_nonzero(failed[rows])):
            counts[reason] = n
    return tuple(
        FailureGroup(r, MEANINGS.get(r, ""), counts[r], tuple(examples.get(r, ())))
        for r in sorted(counts, key=lambda r: (-counts[r], r.value))
    )


def _without_bytes(failures: pa.Table) -> Iterable[tuple[str, str | None, str | None]]:
    columns = (failures[c].to_pylist() for c in ("failure", "locator", "detail"))
    return (row for row in zip(*columns, strict=True) if row[0] is not None)


def _undecodable(items: Items) -> Iterable[tuple[str, str | None, str | None]]:
    if "failure" not in items.features.column_names:
        return []
    rows = np.flatnonzero(pc.is_valid(items.features["failure"]).to_numpy())
    columns = (items.features["failure"], items.places["locator"], items.features["detail"])
    return zip(*(c.take(rows).to_pylist() for c in columns), strict=True)


def _labels(items: Items) -> tuple[LabelCount, ...]:
    if "label" not in items.places.column_names:
        return ()
    labels = array(items.places["label"])
    if labels.null_count == len(labels):
        return ()
    encoded = labels.fill_null("").dictionary_encode()
    codes = encoded.indices.to_numpy()
    accepted = np.bincount(codes, weights=items.verdict == Verdict.ACCEPTED)
    counts = [
        LabelCount(clean(str(label)) or "(none)", int(n), int(a))
        for label, n, a in zip(
            encoded.dictionary.to_pylist(), np.bincount(codes), accepted, strict=True
        )
    ]
    return tuple(sorted(counts, key=lambda c: (-c.items, c.label)))


def _pairs(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (clean(str(key)).replace("_", " "), _fact(value))
        for key, value in values.items()
        if value is not None
    )


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and np.isfinite(value):
        return number(float(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text}" for key, text in _pairs(value))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ", ".join(_fact(v) for v in value)
    return clean(str(value))
