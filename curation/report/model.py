"""What the report page shows: plain values, so that drawing it needs no table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from data_catalog.schema import Reason, Verdict

Action = Literal["reject", "flag", "off"]
Operator = Literal[">", "<"]


@dataclass(frozen=True, slots=True)
class RuleView:
    """One rule as the page tells it.

    Parameters
    ----------
    reason
        What an item is given that breaks the rule. Several rules may share one reason.
    column
        The measured column: of the features or the groups table, or one of the derived
        `shorter_side` and `aspect`; empty where the rule measures nothing.
    threshold
        In the unit of `column`; None where the rule has none.
    op
        The side of the threshold that breaks the rule.
    action
        What follows: the item is rejected, flagged, or (`off`) nothing.
    meaning
        One plain line.
    """

    reason: Reason
    column: str
    threshold: float | None
    op: Operator
    action: Action
    meaning: str


@dataclass(frozen=True, slots=True)
class Card:
    """One picture of a contact sheet, with what stands under it."""

    item_id: str
    locator: str
    source: str
    label: str
    verdict: Verdict
    value: str = ""  # the measured value in words, e.g. "0.93" or "212 px"
    thumb: bytes | None = None  # an encoded picture, used as it is


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet."""

    title: str
    hint: str
    usual: Verdict | None  # need not be written under every picture
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A threshold drawn into a histogram. `position` is on the axis, `text` is the rule."""

    reason: Reason
    position: float
    op: Operator
    action: Action
    text: str
    beyond: int  # measured items on the breaking side
    share: float  # `beyond` over the measured items, 0 to 1


@dataclass(frozen=True, slots=True)
class Histogram:
    """How one measure is spread over the items that have it. len(edges) == len(counts) + 1."""

    column: str
    title: str
    unit: str
    counts: tuple[int, ...]
    edges: tuple[float, ...]  # values below the first or above the last edge are in the end bins
    logarithmic: bool
    marks: tuple[Mark, ...]

    @property
    def measured(self) -> int:
        """Number of items that have a value."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class ReasonSection:
    """All that the page says about one reason."""

    reason: Reason
    action: Action
    meaning: str
    rules: tuple[str, ...]  # "blankness > 0.95"
    count: int  # items that carry the reason
    verdicts: tuple[tuple[Verdict, int], ...]  # the same items by what became of them
    histograms: tuple[Histogram, ...]
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One picture of a cluster."""

    card: Card
    relation: Reason | None  # None for the keeper
    distance: float | None
    size: str  # "600 × 800 px, 48 kB"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Pictures that belong together; the first member is the one that is kept."""

    key: str
    note: str  # why this cluster is shown: "one of the largest", "least certain"
    size: int  # all members; `members` may hold fewer
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class FailureExample:
    """One input that could not be used."""

    locator: str
    detail: str


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Inputs that failed for one reason."""

    reason: Reason
    meaning: str
    count: int
    examples: tuple[FailureExample, ...]


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """What is left after one step, and what the step took."""

    label: str
    count: int
    note: str


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How many items carry a label."""

    label: str
    items: int
    accepted: int


@dataclass(frozen=True, slots=True)
class Inversion:
    """Whether training sees 255 − x, and the figures that led to it."""

    inverted: bool
    figures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReportModel:
    """The whole page."""

    name: str
    build: str
    built_at: datetime
    recipe: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]  # further figures of the run, in words
    items: int
    verdicts: tuple[tuple[Verdict, int], ...]  # all four; they add up to `items`
    funnel: tuple[FunnelStep, ...]
    sample: Sheet
    sections: tuple[ReasonSection, ...]
    copies: tuple[ReasonSection, ...]  # counts of the copy rules; their pictures are `clusters`
    clusters: tuple[Cluster, ...]
    cluster_count: int
    colourway: ReasonSection | None
    colourways: tuple[Cluster, ...]
    colourway_count: int
    failures: tuple[FailureGroup, ...]
    histograms: tuple[Histogram, ...]
    inversion: Inversion
    labels: tuple[LabelCount, ...] = field(default=())
    other_labels: int = 0  # labels beyond those listed
