"""Rules: a measurement, a threshold, an action. Measurements are stored, verdicts computed.

A rule never sees pixels, so that a changed threshold re-judges the whole set in seconds. Where a
measurement is null (no subject on a busy background, no edge in a blank picture) its rule is
silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from curation.scorers import BY_PLACE, Scorer
from data_catalog.schema import Reason, Verdict

Action = Literal["reject", "flag", "off"]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Threshold:
    """One comparison that a rule makes; what the report draws and `why` prints.

    Attributes
    ----------
    column : str
        The measure: a column of `features`, or one of `DERIVED`.
    breaks : str
        ``<`` or ``>``: the side of `limit` on which the rule is broken.
    limit : float
    """

    column: str
    breaks: Literal["<", ">"]
    limit: float


class Rule(BaseModel):
    """Base of all rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: ClassVar[Reason]
    meaning: ClassVar[str]
    # Parameter of the rule -> (column, side on which it is broken).
    bounds: ClassVar[Mapping[str, tuple[str, Literal["<", ">"]]]] = {}

    action: Action = Field("flag", description="reject, flag (a person decides) or off")

    def thresholds(self) -> list[Threshold]:
        """Give the comparisons that the rule makes; it is broken where any of them is."""
        return [
            Threshold(column, breaks, float(getattr(self, parameter)))
            for parameter, (column, breaks) in self.bounds.items()
        ]

    def broken(self, values: Mapping[str, NDArray[np.float64]]) -> Mask:
        """Find the items that break the rule.

        Parameters
        ----------
        values : mapping of str to ndarray of shape (N,), float64
            From `measured`; NaN where a measure is not known.
        """
        masks = [
            values[test.column] < test.limit
            if test.breaks == "<"
            else values[test.column] > test.limit
            for test in self.thresholds()
        ]
        return np.asarray(np.logical_or.reduce(masks), dtype=np.bool_)


class TooSmall(Rule):
    """Width or height is below `min_side`."""

    reason = Reason.TOO_SMALL
    meaning = "A side is shorter than the least that is worth training on."
    bounds = {"min_side": ("shorter_side", "<")}
    min_side: int = Field(300, ge=0, description="px, of the shorter side")
    action: Action = "reject"


class TooFewBytes(Rule):
    """The file is smaller than `min_bytes`."""

    reason = Reason.TOO_FEW_BYTES
    meaning = "So small a file is a placeholder or squeezed beyond use."
    bounds = {"min_bytes": ("file_bytes", "<")}
    min_bytes: int = Field(4096, ge=0, description="of the file as it came")
    action: Action = "flag"


class Upscaled(Rule):
    """Would have to be enlarged by more than `max_factor`."""

    reason = Reason.UPSCALED
    meaning = "Filling the frame would enlarge it beyond what its pixels hold."
    bounds = {"max_factor": ("upscale", ">")}
    max_factor: float = Field(2.0, gt=0, description="frame px for each px of the picture")
    action: Action = "flag"


class OddAspect(Rule):
    """Much longer than wide, or the other way round."""

    reason = Reason.ODD_ASPECT
    meaning = "So long or so wide a picture is a banner, a strip or a collage."
    bounds = {"max_aspect": ("aspect", ">")}
    max_aspect: float = Field(3.0, ge=1, description="longer side over shorter side")
    action: Action = "reject"


class Animated(Rule):
    """Has more frames than `max_frames`."""

    reason = Reason.ANIMATED
    meaning = "An animation; only its first frame was looked at."
    bounds = {"max_frames": ("frames", ">")}
    max_frames: int = Field(1, ge=1, description="frames in the file")
    action: Action = "flag"


class Monochrome(Rule):
    """Grey, or with very few colours."""

    reason = Reason.MONOCHROME
    meaning = "Fewer than 257 colours, or no colour to speak of: grey versions and drawings."
    bounds = {"min_colours": ("colours", "<"), "min_chroma": ("chroma", "<")}
    min_colours: int = Field(257, ge=0, le=257, description="unique colours")
    min_chroma: float = Field(0.004, ge=0, le=1, description="mean chroma, 0 is grey")
    action: Action = "reject"


class Blank(Rule):
    """One colour covers nearly everything."""

    reason = Reason.BLANK
    meaning = "One colour covers nearly everything: a placeholder."
    bounds = {"max_blankness": ("blankness", ">")}
    max_blankness: float = Field(0.985, ge=0, le=1, description="share of the commonest colour")
    action: Action = "reject"


class Pattern(Rule):
    """A close-up of fabric or texture."""

    reason = Reason.PATTERN
    meaning = "The same colours everywhere and no subject: a close-up of fabric."
    bounds = {"max_pattern": ("pattern", ">")}
    max_pattern: float = Field(0.55, ge=0, le=1, description="likelihood of being a close-up")
    action: Action = "flag"


class BusyBackground(Rule):
    """The background is full of edges."""

    reason = Reason.BUSY_BACKGROUND
    meaning = "The background is full of edges and draws the network's attention."
    bounds = {"max_complexity": ("background_complexity", ">")}
    max_complexity: float = Field(0.6, ge=0, le=1, description="share of background on an edge")
    action: Action = "flag"


class OffCentre(Rule):
    """The subject is not in the middle."""

    reason = Reason.OFF_CENTRE
    meaning = "The subject is not in the middle of the picture."
    bounds = {"max_offset": ("centre_offset", ">")}
    max_offset: float = Field(0.3, ge=0, le=1, description="0 centred, 1 at the edge")
    action: Action = "flag"


class CutOff(Rule):
    """The subject runs out of the picture."""

    reason = Reason.CUT_OFF
    meaning = "The subject runs out of the picture on more sides than allowed."
    bounds = {"max_edges": ("edges_touched", ">")}
    max_edges: int = Field(0, ge=0, le=4, description="edges that the subject may touch")
    action: Action = "flag"


class TinySubject(Rule):
    """The subject is lost in the frame."""

    reason = Reason.TINY_SUBJECT
    meaning = "The subject covers so little of the picture that few pixels are left of it."
    bounds = {"min_fill": ("fill", "<")}
    min_fill: float = Field(0.08, ge=0, le=1, description="share of the picture in its box")
    action: Action = "flag"


class Blurred(Rule):
    """Even the strongest edges are wide."""

    reason = Reason.BLURRED
    meaning = "Even its strongest edges are wide."
    bounds = {"min_sharpness": ("sharpness", "<")}
    min_sharpness: float = Field(0.55, ge=0, description="about 1 / width of the edges in px")
    action: Action = "flag"


class PixelDuplicate(Rule):
    """The very same pixels in another file."""

    reason = Reason.PIXEL_DUPLICATE
    meaning = "The very same pixels as a picture that is kept, in another file."
    action: Action = "reject"


class NearDuplicate(Rule):
    """The same picture, re-encoded, resized, cropped, bordered or brightened."""

    reason = Reason.NEAR_DUPLICATE
    meaning = "The same picture as one that is kept: re-encoded, resized, cropped or bordered."
    action: Action = "reject"


class MirroredCopy(Rule):
    """The same picture, flipped left to right."""

    reason = Reason.MIRRORED_COPY
    meaning = "The same picture as one that is kept, flipped left to right."
    action: Action = "reject"


class Colourway(Rule):
    """One silhouette in more colours than the cap allows."""

    reason = Reason.COLOURWAY
    meaning = "One silhouette in more colours than the cap allows."
    bounds = {"max_per_silhouette": ("colourway_number", ">")}
    max_per_silhouette: int = Field(12, ge=1, description="colourways kept of one silhouette")
    action: Action = "flag"


class UnlikeOthers(Rule):
    """Among those whose nearest others are farthest off."""

    reason = Reason.UNLIKE_OTHERS
    meaning = "Hardly like anything else in the set."
    bounds = {"min_percentile": (Scorer.DENSITY.place, "<")}
    min_percentile: float = Field(
        2.0, ge=0, le=100, description="place by likeness, 0 is the least like others"
    )
    action: Action = "flag"


class LowDScore(Rule):
    """Among the lowest by the discriminator's score."""

    reason = Reason.LOW_D_SCORE
    meaning = "Among the lowest by D score: the discriminator takes it for a fake."
    bounds = {"min_percentile": (Scorer.DISCRIMINATOR.place, "<")}
    min_percentile: float = Field(0.5, ge=0, le=100, description="place by score, 0 is the lowest")
    action: Action = "flag"


class HighDScore(Rule):
    """Among the highest by the discriminator's score."""

    reason = Reason.HIGH_D_SCORE
    meaning = "Among the highest by D score: the discriminator is suspiciously sure of it."
    bounds = {"max_percentile": (Scorer.DISCRIMINATOR.place, ">")}
    max_percentile: float = Field(
        99.8, ge=0, le=100, description="place by score, 100 is the highest"
    )
    action: Action = "flag"


class Rules(BaseModel):
    """What happens to an item that breaks a rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    too_small: TooSmall = TooSmall()
    too_few_bytes: TooFewBytes = TooFewBytes()
    upscaled: Upscaled = Upscaled()
    odd_aspect: OddAspect = OddAspect()
    animated: Animated = Animated()
    monochrome: Monochrome = Monochrome()
    blank: Blank = Blank()
    pattern: Pattern = Pattern()
    busy_background: BusyBackground = BusyBackground()
    off_centre: OffCentre = OffCentre()
    cut_off: CutOff = CutOff()
    tiny_subject: TinySubject = TinySubject()
    blurred: Blurred = Blurred()
    pixel_duplicate: PixelDuplicate = PixelDuplicate()
    near_duplicate: NearDuplicate = NearDuplicate()
    mirrored_copy: MirroredCopy = MirroredCopy()
    colourway: Colourway = Colourway()
    unlike_others: UnlikeOthers = UnlikeOthers()
    low_d_score: LowDScore = LowDScore()
    high_d_score: HighDScore = HighDScore()

    def all(self) -> Iterator[Rule]:
        """Give every rule, in the order in which people read them."""
        return (getattr(self, name) for name in type(self).model_fields)

    def on_images(self) -> list[Rule]:
        """Give the rules that look at one image alone and are not off."""
        others = _OF_GROUPS | OF_SCORES.keys()
        return [rule for rule in self.all() if rule.reason not in others and rule.action != "off"]

    def on_groups(self) -> list[Rule]:
        """Give the rules that compare an item with others and are not off."""
        return [rule for rule in self.all() if rule.reason in _OF_GROUPS and rule.action != "off"]

    def on_scores(self, scorer: Scorer | None = None) -> list[Rule]:
        """Give the rules on scores, of one scorer or of all, that are not off."""
        return [
            rule
            for rule in self.all()
            if rule.reason in OF_SCORES
            and scorer in (None, OF_SCORES[rule.reason])
            and rule.action != "off"
        ]


_OF_GROUPS: Final = frozenset(
    {Reason.PIXEL_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.MIRRORED_COPY, Reason.COLOURWAY}
)
OF_SCORES: Final[Mapping[Reason, Scorer]] = {
    rule.reason: BY_PLACE[test.column]
    for rule in Rules().all()
    for test in rule.thresholds()
    if test.column in BY_PLACE
}
"""Rules on scores, and whose score it is."""

# Measures that are computed from the columns of `features`, `groups` and `scores`.
DERIVED: Final[Mapping[str, str]] = {
    "shorter_side": "px",
    "aspect": "longer side over shorter side",
    "colourway_number": "how many of its silhouette are kept before it, plus one",
    **{
        scorer.place: f"place by {scorer.called} among what no other rule rejects, 0 to 100"
        for scorer in Scorer
    },
}


def measured(features: pa.Table, columns: set[str]) -> dict[str, NDArray[np.float64]]:
    """Give measures as float arrays, NaN where not known.

    Parameters
    ----------
    features : pyarrow.Table
        Rows of `features`.
    columns : set of str
        Names of columns, or of `DERIVED` measures of one image.
    """
    values = {}
    for column in sorted(columns):
        if column == "shorter_side":
            values[column] = np.fmin(_floats(features, "width"), _floats(features, "height"))
        elif column == "aspect":
            width, height = _floats(features, "width"), _floats(features, "height")
            values[column] = np.fmax(width, height) / np.fmin(width, height)
        else:
            values[column] = _floats(features, column)
    return values


def _floats(table: pa.Table, column: str) -> NDArray[np.float64]:
    return np.asarray(table[column].cast(pa.float64()).to_numpy(), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Findings:
    """Which rules the items break: one mask of shape (N,) for each rule that any item breaks."""

    masks: Mapping[Reason, Mask]
    actions: Mapping[Reason, Action]

    def rejected(self, items: int) -> Mask:
        """Mask of items that break a rule whose action is reject, of shape (`items`,)."""
        return self._any("reject", items)

    def flagged(self, items: int) -> Mask:
        """Mask of items that break a rule whose action is flag, of shape (`items`,)."""
        return self._any("flag", items)

    def _any(self, action: Action, items: int) -> Mask:
        out = np.zeros(items, dtype=np.bool_)
        for reason, mask in self.masks.items():
            if self.actions[reason] == action:
                out |= mask
        return out


def judge_images(features: pa.Table, rules: Rules) -> Findings:
    """Apply the rules that look at one image alone."""
    active = rules.on_images()
    columns = {test.column for rule in active for test in rule.thresholds()}
    values = measured(features, columns)
    return Findings(
        {rule.reason: rule.broken(values) for rule in active},
        {rule.reason: rule.action for rule in active},
    )


def judge_groups(groups: pa.Table, rules: Rules) -> Findings:
    """Apply the rules that compare items, to rows of the `groups` table."""
    relation = np.asarray(groups["relation"].to_numpy(zero_copy_only=False), dtype=object)
    number = _floats(groups, "colourway_rank") + 1.0
    masks, actions = {}, {}
    for rule in rules.on_groups():
        if isinstance(rule, Colourway):
            masks[rule.reason] = rule.broken({"colourway_number": number})
        else:
            masks[rule.reason] = relation == rule.reason.value
        actions[rule.reason] = rule.action
    return Findings(masks, actions)


Places = Mapping[Scorer, NDArray[np.float32]]
"""Places by score, each of shape (N,), 0 to 100; NaN where an item has none."""


def judge_scores(places: Places, rules: Rules) -> Findings:
    """Apply the rules on places by score; they are silent about items without a place.

    Parameters
    ----------
    places
        Rules of a scorer that is not there are left out.
    """
    active = [rule for scorer in places for rule in rules.on_scores(scorer)]
    values = {scorer.place: np.asarray(found, np.float64) for scorer, found in places.items()}
    return Findings(
        {rule.reason: rule.broken(values) for rule in active},
        {rule.reason: rule.action for rule in active},
    )


def verdicts(
    item_ids: NDArray[Any],
    image_ids: NDArray[Any],
    failures: NDArray[Any],
    findings: Findings,
    decisions: Mapping[str, tuple[str, str]],
    places: Places | None = None,
) -> pa.Table:
    """Compute the verdict of every item: failed, then a person's word, then the rules.

    Parameters
    ----------
    item_ids, image_ids : ndarray of shape (N,), object
    failures : ndarray of shape (N,), object
        A `Reason`, or None where there is a picture.
    findings : Findings
        Masks of shape (N,).
    decisions : mapping of str to (verdict, reviewer)
        By item_id; already carried over to pixel-identical copies.
    places : optional
        By score, kept beside the verdict.

    Returns
    -------
    pyarrow.Table
        Columns of `data_catalog.schema.VERDICTS`, sorted by item_id.
    """
    count = len(item_ids)
    failed = np.array([failure is not None for failure in failures], dtype=np.bool_)
    verdict = np.full(count, Verdict.ACCEPTED.value, dtype=object)
    verdict[findings.flagged(count)] = Verdict.FLAGGED.value
    verdict[findings.rejected(count)] = Verdict.REJECTED.value
    decided_by = np.full(count, "rules", dtype=object)
    reasons: list[list[str]] = [[] for _ in range(count)]
    for reason, mask in findings.masks.items():
        for index in np.flatnonzero(mask & ~failed):
            reasons[index].append(reason.value)
    for index in np.flatnonzero(failed):
        verdict[index], reasons[index] = Verdict.FAILED.value, [str(failures[index])]
    if decisions:
        for place, item_id in enumerate(item_ids):
            said = decisions.get(item_id)
            if said is not None and not failed[place]:
                verdict[place], decided_by[place] = said
                reasons[place].append(Reason.DECIDED.value)
    table = pa.table(
        {
            "item_id": pa.array(item_ids, pa.string()),
            "image_id": pa.array(image_ids, pa.string()),
            "verdict": pa.array(verdict, pa.string()),
            "reasons": pa.array(reasons, pa.list_(pa.string())),
            "decided_by": pa.array(decided_by, pa.string()),
            **{scorer.place: _place(count, (places or {}).get(scorer)) for scorer in Scorer},
        }
    )
    return table.sort_by("item_id")


def _place(count: int, found: NDArray[np.float32] | None) -> pa.Array[Any]:
    if found is None:
        return pa.nulls(count, pa.float32())
    return pa.array(found, pa.float32(), from_pandas=True)
