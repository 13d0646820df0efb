"""Stage: from measures, relations and decisions to the verdict on every item of the set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation import judging
from curation.grouping import DuplicateRules, group
from curation.inversion import InversionDecision, decide
from curation.judging import Findings, Places, Rules
from curation.recipe import Recipe
from curation.scorers import Scorer
from curation.stages.copies import with_copies
from curation.stages.relate import CANDIDATE_COLUMNS
from curation.stages.scores import Scores, percentiles
from data_catalog.catalog import Catalog
from data_catalog.decisions import latest_decisions
from data_catalog.schema import FEATURES, GROUPS, Reason, Verdict

# Raised when verdicts may differ for the same measures: a stored build is then judged anew.
JUDGE_REVISION: Final = 2

# Only the search for like pictures needs these, and only of new items; they are most of a row.
_FOR_SEARCHES: Final = frozenset(CANDIDATE_COLUMNS) - {"item_id", "width", "height", "pixel_hash"}


@dataclass(frozen=True, slots=True)
class ItemSet:
    """What there is to judge.

    Attributes
    ----------
    features : pyarrow.Table
        Rows of `features`, one an item, sorted by item_id; failed items among them.
    unread : pyarrow.Table
        `item_id`, `locator`, `failure`, `detail`: what a source offered, but gave no bytes for.
    decisions : dict of str to (verdict, reviewer)
        By item_id, carried over to pixel-identical copies.
    decided : frozenset of str
        Items that the decisions were made on; the others in `decisions` are copies of them.
    """

    features: pa.Table
    unread: pa.Table
    decisions: Mapping[str, tuple[str, str]]
    decided: frozenset[str]

    @property
    def count(self) -> int:
        """Number of items."""
        return int(self.features.num_rows + self.unread.num_rows)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome for a set: tables as in `data_catalog.schema`, and the inversion.

    Attributes
    ----------
    scores : mapping of Scorer to pyarrow.Table
        Those that it was judged by: as given to `judge`, but for those of no item.
    """

    verdicts: pa.Table
    groups: pa.Table
    inversion: InversionDecision
    scores: Scores = field(default_factory=dict)


def load_items(catalog: Catalog, recipe: Recipe, selection: pa.Table) -> ItemSet:
    """Read what there is to judge.

    Parameters
    ----------
    selection : pyarrow.Table
        From `curation.ingest.selection.current`.
    """
    offered = selection.filter(pc.is_valid(selection["image_id"]))["image_id"].combine_chunks()
    unread = selection.filter(pc.is_null(selection["image_id"]))
    where = (pc.field("recipe") == recipe.id) & pc.field("image_id").isin(offered)
    columns = [name for name in FEATURES.names if name not in _FOR_SEARCHES]
    features = _one_row_an_item(catalog.table("features").read(columns, where=where))
    unread = unread.select(["id", "locator", "failure", "detail"]).sort_by("id")
    unread = unread.rename_columns(["item_id", "locator", "failure", "detail"])
    said = latest_decisions(catalog)
    words = {
        item_id: (str(row["verdict"]), str(row["reviewer"]))
        for item_id, row in with_copies(said, catalog, features).items()
    }
    return ItemSet(features, unread, words, frozenset(said))


def _one_row_an_item(features: pa.Table) -> pa.Table:
    """Sort by item_id and take one row of each.

    A kill between two commits may have left two, and so may a failure that a raised limit mended:
    rows with a pack sort before those without.
    """
    features = features.sort_by([("item_id", "ascending"), ("pack", "ascending")])
    ids = features["item_id"].to_numpy(zero_copy_only=False)
    if len(ids) == 0:
        return features
    first = np.concatenate(([True], ids[1:] != ids[:-1]))
    return features if first.all() else features.filter(pa.array(first))


def build_id(
    items: ItemSet,
    selection: pa.Table,
    recipe: Recipe,
    rules: Rules,
    duplicates: DuplicateRules,
    scores: Scores | None = None,
) -> str:
    """Hash all that decides the outcome: the same id means the same verdicts and report.

    Parameters
    ----------
    scores : optional
        As for `judge`; of items that are not in the set they do not matter.
    """
    digest = hashlib.sha256()
    scores = scores or {}
    means = _means(items, scores)
    head = {
        "revision": JUDGE_REVISION,
        "recipe": recipe.id,
        "invert": recipe.invert,
        "rules": {name: getattr(rules, name).model_dump() for name in type(rules).model_fields},
        "duplicates": duplicates.model_dump(),
        "decisions": sorted(items.decisions.items()),
        "decided": sorted(items.decided),
        "models": [scores[scorer]["model"][0].as_py() for scorer in means],
    }
    digest.update(json.dumps(head, sort_keys=True, default=str).encode())
    for of_items in means.values():
        digest.update(of_items.tobytes())
    parts = (
        (items.features, ("item_id", "failure")),
        (items.unread, ("item_id", "failure")),
        (selection, ("id", "source", "locator", "label")),
    )
    for table, columns in parts:
        for column in columns:
            values = pc.fill_null(table[column], "")
            digest.update("\n".join(values.to_pylist()).encode("utf-8", "surrogatepass"))
            digest.update(b"\0")
    return digest.hexdigest()[:16]


def judge(
    items: ItemSet,
    recipe: Recipe,
    rules: Rules,
    duplicates: DuplicateRules,
    relate: Callable[[pa.Table], pa.Table],
    scores: Scores | None = None,
) -> Judgement:
    """Judge every item.

    Items that a rule on one image rejects take no part in grouping: a picture that is out must
    not take a copy that is in with it. Items that a person accepted always take part.

    Parameters
    ----------
    relate : callable
        Takes the features of the items to group, returns their pairs.
    scores : mapping of Scorer to pyarrow.Table, optional
        `item_id`, `model` and `mean`: the scores by one model, one row an item. An item without a
        score is judged as if there were none.
    """
    scores = scores or {}
    features = items.features
    count = features.num_rows
    findings = judging.judge_images(features, rules)
    ids = features["item_id"].to_numpy(zero_copy_only=False)
    accepted = np.array([_is_accepted(items, item_id) for item_id in ids], dtype=np.bool_)
    has_picture = np.asarray(pc.is_null(features["failure"]).to_numpy(zero_copy_only=False))
    grouped = has_picture & (accepted | ~findings.rejected(count))
    # All pictures are related, also those that are out: a threshold that lets them in again finds
    # their pairs known.
    pairs = relate(features.filter(pa.array(has_picture)))
    flagged = ids[findings.flagged(count)].tolist()
    groups = _group(features.filter(pa.array(grouped)), pairs, items, duplicates, flagged)
    findings = _merge(findings, judging.judge_groups(groups, rules), grouped)
    means = _means(items, scores)
    compared = has_picture & ~findings.rejected(count)
    places = {scorer: _places(of_items, compared) for scorer, of_items in means.items()}
    of_scores = judging.judge_scores(places, rules)
    findings = Findings(
        {**findings.masks, **of_scores.masks}, {**findings.actions, **of_scores.actions}
    )
    verdicts = _verdicts(items, findings, _without_twins(items, groups), places)
    kept = pc.is_in(
        features["item_id"],
        value_set=verdicts.filter(
            pc.is_in(
                verdicts["verdict"],
                value_set=pa.array([Verdict.ACCEPTED.value, Verdict.FLAGGED.value]),
            )
        )["item_id"].combine_chunks(),
    )
    inversion = decide(features.filter(kept), recipe.invert)
    return Judgement(verdicts, groups, inversion, {scorer: scores[scorer] for scorer in means})


def _means(items: ItemSet, scores: Scores) -> dict[Scorer, NDArray[np.float32]]:
    """Give the scores of each item, NaN where it has none; no scorer of whom none has one."""
    ids = items.features["item_id"]
    found = {}
    for scorer in Scorer:
        if scorer not in scores:
            continue
        rows = scores[scorer]
        at = pc.index_in(ids, value_set=rows["item_id"].combine_chunks())
        means = np.asarray(rows["mean"].cast(pa.float32()).take(at).to_numpy(), np.float32)
        if not np.isnan(means).all():
            found[scorer] = means
    return found


def _places(means: NDArray[np.float32], compared: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the place by score of each item that is compared; NaN for the others.

    What a rule rejects takes no place: the lowest share is of the pictures that would stay.
    """
    places = np.full(len(compared), np.nan, np.float32)
    places[compared] = percentiles(means[compared])
    return places


def _group(
    features: pa.Table,
    pairs: pa.Table,
    items: ItemSet,
    duplicates: DuplicateRules,
    flagged: Sequence[str],
) -> pa.Table:
    if features.num_rows == 0:
        return GROUPS.empty_table()
    # Only those that the word was said about: copies of one another follow the same word.
    accepted = [item_id for item_id in items.decided if _is_accepted(items, item_id)]
    groups = group(features, pairs, accepted, duplicates, flagged=flagged)
    return groups.sort_by("item_id")


def _is_accepted(items: ItemSet, item_id: str) -> bool:
    """Tell whether a person accepted it, or a copy with the same pixels."""
    return item_id in items.decisions and items.decisions[item_id][0] == Verdict.ACCEPTED.value


def _without_twins(items: ItemSet, groups: pa.Table) -> dict[str, tuple[str, str]]:
    """Give the decisions that hold, less acceptances carried over to copies of what is kept.

    Who accepts a picture wants it in, once.
    """
    is_twin = pc.equal(groups["relation"], Reason.PIXEL_DUPLICATE.value)
    twins = set(groups["item_id"].filter(pc.fill_null(is_twin, False)).to_pylist())
    return {
        item_id: word
        for item_id, word in items.decisions.items()
        if item_id not in twins or item_id in items.decided or word[0] != Verdict.ACCEPTED.value
    }


def _merge(images: Findings, groups: Findings, grouped: NDArray[np.bool_]) -> Findings:
    """Put masks over the grouped items (sorted by item_id) back on all items."""
    masks = dict(images.masks)
    for reason, mask in groups.masks.items():
        full = np.zeros(len(grouped), dtype=np.bool_)
        if len(mask):
            full[grouped] = mask
        masks[reason] = full
    return Findings(masks, {**images.actions, **groups.actions})


def _verdicts(
    items: ItemSet,
    findings: Findings,
    decisions: Mapping[str, tuple[str, str]],
    places: Places,
) -> pa.Table:
    features, unread = items.features, items.unread
    extra = unread.num_rows

    def column(name: str) -> NDArray[Any]:
        return np.asarray(features[name].to_numpy(zero_copy_only=False), dtype=object)

    item_ids = np.concatenate([column("item_id"), np.asarray(unread["item_id"], dtype=object)])
    image_ids = np.concatenate([column("image_id"), np.full(extra, None, dtype=object)])
    failures = np.concatenate([column("failure"), np.asarray(unread["failure"], dtype=object)])
    padded = {
        reason: np.concatenate([mask, np.zeros(extra, dtype=np.bool_)])
        for reason, mask in findings.masks.items()
    }
    nowhere = np.full(extra, np.nan, np.float32)
    places = {scorer: np.concatenate([found, nowhere]) for scorer, found in places.items()}
    return judging.verdicts(
        item_ids, image_ids, failures, Findings(padded, findings.actions), decisions, places
    )


def count_verdicts(verdicts: pa.Table) -> dict[str, Any]:
    """Count items, verdicts and reasons, for the summary of a build."""
    frame = pd.Series(verdicts["verdict"].to_pandas()).value_counts()
    reasons = pd.Series(
        pc.list_flatten(verdicts["reasons"]).to_pandas(), dtype=object
    ).value_counts()
    return {
        "items": verdicts.num_rows,
        **{verdict.value: int(frame.get(verdict.value, 0)) for verdict in Verdict},
        "reasons": {str(key): int(value) for key, value in sorted(reasons.items())},
    }
