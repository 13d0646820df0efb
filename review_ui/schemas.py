"""The JSON that the API takes and gives."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from review_ui.loop import Kind, LoopTold
from review_ui.store.exchange import ITEM, LONGEST_NOTE, LONGEST_TAG, MOST_TAGS, is_plain


def _plain(text: str) -> str:
    """Refuse what no keyboard makes: control characters, halves of characters."""
    if not is_plain(text):
        raise ValueError("must be text without control characters")
    return text


def _on_one_line(text: str) -> str:
    if "\n" in text:
        raise ValueError("must be on one line")
    return text


ItemId = Annotated[str, StringConstraints(pattern=f"^{ITEM.pattern}$", max_length=100)]
Uuid = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$", to_lower=True),
]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TAG),
    AfterValidator(_plain),
    AfterValidator(_on_one_line),
]
Name = Annotated[str, StringConstraints(max_length=40), AfterValidator(_plain)]
Facet = Annotated[str, StringConstraints(max_length=500), AfterValidator(_plain)]
Standing = Literal["open", "accepted", "rejected"]
Spoken = Literal["accepted", "rejected", "undecided"]


class Taken(BaseModel):
    """Base of what is taken in: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Why a request failed, in a word and in a sentence."""

    error: str
    message: str


class LoginIn(Taken):
    """Who wants in."""

    name: Name
    token: Annotated[str, StringConstraints(max_length=200)] | None = None


class SessionOut(BaseModel):
    """Who is logged in, and how the page is set up."""

    name: str
    role: Literal["reviewer", "admin"]
    csrf: str
    login_needed: bool
    dataset: str
    tag_keys: dict[str, str]
    lease_seconds: int


class BuildOut(BaseModel):
    """The build under review."""

    id: str
    built_at: str
    items: int


class SyncOut(BaseModel):
    """How far the catalog has been read."""

    state: Literal["ready", "reading", "empty", "failed"]
    done: int
    total: int
    message: str


class QueueOut(BaseModel):
    """One queue: a reason, the rule behind it, and how many items stand where."""

    id: str
    title: str
    meaning: str
    kind: Literal["items", "clusters"]
    action: Literal["flag", "reject"] | None
    measure: str | None
    unit: str
    order: Literal["high", "low"]
    limit: float | None
    open: int
    accepted: int
    rejected: int
    settled: int | None
    low: float | None
    high: float | None


class OnlineOut(BaseModel):
    """Somebody who was here lately."""

    name: str
    seconds_ago: float


class QueuesOut(BaseModel):
    """All queues, and the state of the whole."""

    build: BuildOut | None
    sync: SyncOut
    queues: list[QueueOut]
    todo: int
    decisions: int
    online: list[OnlineOut]


class FacetOut(BaseModel):
    """A value to filter by."""

    value: str
    count: int


class FacetsOut(BaseModel):
    """What can be filtered by, the commonest first."""

    source: list[FacetOut]
    label: list[FacetOut]
    brand: list[FacetOut]
    tag: list[FacetOut]
    first: str | None
    last: str | None


class FiltersIn(Taken):
    """What of a queue is wanted."""

    source: Facet | None = None
    label: Facet | None = None
    brand: Facet | None = None
    tag: Facet | None = None
    reviewer: Name | None = None
    since: date | None = None
    until: date | None = None
    low: Annotated[float, Field(allow_inf_nan=False)] | None = None
    high: Annotated[float, Field(allow_inf_nan=False)] | None = None


Cursor = Annotated[str, StringConstraints(max_length=200)]


class PageIn(Taken):
    """Which page of a queue."""

    standing: Standing = "open"
    limit: Annotated[int, Field(ge=1, le=100)] = 60
    after: Cursor | None = None
    order: Literal["worst", "borderline"] = "worst"
    filters: FiltersIn = FiltersIn()
    lease: bool = False
    skip: Annotated[list[ItemId], Field(max_length=2_000)] = []


class ItemOut(BaseModel):
    """An item as the page shows it."""

    id: str
    image_id: str
    head: str | None
    verdict: Literal["accepted", "rejected"] | None
    standing: Standing
    rule: str
    reasons: list[str]
    tags: list[str]
    note: str
    reviewer: str | None
    decided_at: str | None
    follows: str | None
    why: list[dict[str, Any]]
    title: str | None
    source: str | None
    label: str | None
    brand: str | None
    given_tags: list[str]
    locator: str | None
    page: str | None
    observed_at: str | None
    width: int
    height: int
    bytes: int
    score: float | None
    ratio: float
    thumb: str
    standard: str
    original: str
    duplicate: str | None
    relation: str | None
    distance: float | None
    colourway: str | None
    leased_by: str | None


class PageOut(BaseModel):
    """A page of a queue."""

    items: list[ItemOut]
    next: str | None
    leased_until: str | None
    held_by_others: int


class EventOut(BaseModel):
    """A decision, and what held before it."""

    seq: int
    uuid: str
    batch: str
    item: str
    thumb: str | None
    verdict: Spoken
    reasons: list[str]
    tags: list[str]
    note: str
    reviewer: str
    origin: Literal["page", "import", "catalog"]
    decided_at: str
    undoes: str | None
    undone: bool
    before: dict[str, Any]
    ms: int | None


class HistoryOut(BaseModel):
    """Decisions, newest first."""

    events: list[EventOut]
    next: int | None


class NeighbourOut(ItemOut):
    """An item that looks like another: bits in which their perceptual hashes differ, 0 to 64."""

    bits: int


class ItemDetailOut(ItemOut):
    """An item with its history and what looks like it."""

    history: list[EventOut]
    neighbours: list[NeighbourOut]


class ClustersIn(Taken):
    """Which clusters of a queue."""

    standing: Literal["open", "settled"] = "open"
    limit: Annotated[int, Field(ge=1, le=50)] = 10
    after: Cursor | None = None
    lease: bool = False


class ClusterOut(BaseModel):
    """Copies, or colourways, of one another; the one to keep first."""

    key: str
    kind: Literal["duplicate", "colourway"]
    size: int
    value: float
    settled: bool
    best: str
    items: list[ItemOut]
    more: int


class ClustersOut(BaseModel):
    """Clusters of a queue."""

    clusters: list[ClusterOut]
    next: str | None
    held_by_others: int = Field(description="that are left out, since others look at them")


class LeasesIn(Taken):
    """Items to keep for longer, or to give back."""

    items: Annotated[list[ItemId], Field(max_length=2_000)]
    release: bool = False


class LeasesOut(BaseModel):
    """Until when they are kept."""

    leased_until: str | None


class DecisionIn(Taken):
    """The whole new state of an item."""

    uuid: Uuid
    item: ItemId
    verdict: Spoken
    reasons: Annotated[list[Tag], Field(max_length=MOST_TAGS)] = []
    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS)] = []
    note: Annotated[str, StringConstraints(max_length=LONGEST_NOTE), AfterValidator(_plain)] = ""
    base: Uuid | None = None
    undoes: Uuid | None = None
    batch: Uuid | None = None
    ms: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class DecisionsIn(Taken):
    """Decisions, in the order in which they were made."""

    decisions: Annotated[list[DecisionIn], Field(min_length=1, max_length=500)]


class StateOut(BaseModel):
    """What holds for an item."""

    item: str
    head: str | None
    verdict: Spoken
    reasons: list[str]
    tags: list[str]
    note: str
    reviewer: str | None
    decided_at: str | None


class OutcomeOut(BaseModel):
    """What became of a decision."""

    uuid: str
    outcome: Literal["saved", "replayed", "conflict"]
    state: StateOut


class DecisionsOut(BaseModel):
    """What became of them, in order."""

    outcomes: list[OutcomeOut]


class ImportIn(Taken):
    """A file of decisions."""

    format: Literal["csv", "jsonl"]
    text: str


class LineError(BaseModel):
    """A line that could not be read."""

    line: int
    message: str


class ImportOut(BaseModel):
    """What came of a file: see `review_ui.store.exchange.ImportReport`."""

    read: int
    saved: int
    known: int
    outdated: int
    unknown: int
    overruled: int
    errors: list[LineError]


class TagsOut(BaseModel):
    """Tags that people gave, the most used first."""

    tags: list[FacetOut]


class PaceOut(BaseModel):
    """How fast somebody decides; pace and median are of the last 5,000 decisions."""

    name: str
    decisions: int
    per_minute: float
    median_ms: float | None
    last_at: str


class AgreementOut(BaseModel):
    """How far two people agree on what both decided."""

    first: str
    second: str
    items: int
    agreed: int
    share: float
    kappa: float | None


class SaidOut(BaseModel):
    """What somebody said."""

    reviewer: str
    verdict: Spoken


class DisputedOut(BaseModel):
    """An item on which people differ."""

    item: str
    thumb: str | None
    said: list[SaidOut]


class TodayOut(BaseModel):
    """What the one who asks did today (UTC); pace and median of the last 5,000 decisions of it."""

    decisions: int
    per_minute: float
    median_ms: float | None


class StatisticsOut(BaseModel):
    """Pace and agreement."""

    today: TodayOut
    reviewers: list[PaceOut]
    left: int
    agreement: list[AgreementOut]
    disputed: list[DisputedOut]


class JobOut(BaseModel):
    """How far work is that was started from the page."""

    kind: Kind
    state: Literal["idle", "running", "done", "failed"]
    id: str | None
    by: str | None = Field(description="who started it")
    stage: str
    done: int
    total: int
    message: str
    version: int | None
    items: int | None
    shards: int | None
    report: str | None
    url: str | None = Field(description="where it can be watched")
    started_at: str | None
    ended_at: str | None


class LoopOut(LoopTold):
    """The state of the loop, and of what was started from the page."""

    decisions: int | None = Field(
        description="items decided since the newest version; null: there is no version"
    )
    jobs: list[JobOut]


class HealthOut(BaseModel):
    """That the server answers, and which one it is."""

    ok: bool
    version: str
