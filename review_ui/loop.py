"""What the page tells of the loop: rebuild, review, publish, train, rank, and again.

Given by the pipeline (`review_ui.feed`), and passed on as JSON as it is.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Kind = Literal["rebuild", "publish", "train", "rank"]
"""What people start."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

Size = Literal["small", "large"]


def _finite(value: Any) -> Any:
    """Leave out what JSON cannot say."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Figure = Annotated[float | None, BeforeValidator(_finite)]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class BuildTold(_Told):
    """The last build of the catalog; the counts are of items."""

    id: str
    built_at: datetime
    items: int
    accepted: int
    flagged: int
    rejected: int
    failed: int


class VersionTold(_Told):
    """A published version."""

    version: int
    split: str | None = Field(None, description="of which it is; null: of the whole set")
    items: int
    shards: int
    published_at: datetime
    declined: str | None = Field(None, description="why the loop does not train on it, in words")


class Grid(_Told):
    """A sheet of pictures of a run: samples at a snapshot, or real ones."""

    id: str
    kimg: float | None = Field(description="null: of real pictures")
    url: str = Field(description="`size=small` gives a smaller one")


class RunTold(_Told):
    """How far a training is."""

    name: str
    version: int
    preset: str
    status: str = Field(description="running, finished, stopped, failed, lost")
    is_alive: bool
    reason: str
    kimg: float
    total_kimg: float
    sec_per_kimg: Figure = Field(description="of the last tick")
    metrics: dict[str, Figure] = Field(description="the newest of each name")
    grid: Grid | None
    started_at: datetime
    updated_at: datetime


class ModelTold(_Told):
    """A registered model; it judges pictures."""

    model: str
    runs: list[str]
    version: int | None
    kimg: float
    registered_at: datetime
    is_current: bool


class RankingTold(_Told):
    """How far somebody has come with scoring: the current model, or likeness to others."""

    scorer: Literal["density", "discriminator"]
    model: str
    scored: int = Field(description="items that have a score by it")
    ranked_at: datetime | None = Field(description="when the last of them got it")


class FlowTold(_Told):
    """A flow run of Prefect that is under way, or ended lately; whoever started it."""

    id: str
    kind: Kind
    state: Literal["waiting", "running", "done", "failed", "stopped"]
    message: str
    started_at: datetime | None
    ended_at: datetime | None
    url: str


class ScheduledTold(_Told):
    """When a flow will start by the clock."""

    kind: Kind
    at: datetime


class ServerTold(_Told):
    """The Prefect server that starts flows for this dataset."""

    url: str
    is_up: bool
    deployed: list[Kind] = Field(description="flows that it can start")


class LoopTold(_Told):
    """The state of the loop."""

    build: BuildTold | None = None
    versions: list[VersionTold] = Field([], description="newest first")
    runs: list[RunTold] = Field([], description="the one started last first")
    compared_at: datetime | None = Field(None, description="when runs were compared last")
    models: list[ModelTold] = Field([], description="the current one first")
    rankings: list[RankingTold] = Field([], description="one for each whose scores count")
    needs_model: bool = Field(True, description="whether nothing can be ranked without a model")
    presets: list[str] = []
    preset: str = Field("", description="that a training takes where none is asked for")
    version: int | None = Field(None, description="that the configuration trains on; null: newest")
    run_name: str | None = Field(None, description="of the configuration; null: vVERSION-PRESET")
    flows: list[FlowTold] = []
    schedules: list[ScheduledTold] = Field([], description="the next of each flow")
    server: ServerTold | None = None
    problems: list[str] = Field([], description="what could not be found out, in words")


class Series(_Told):
    """A figure over the course of a run."""

    name: str
    kimg: list[float]
    values: list[Figure]


class RunDetails(_Told):
    """What is drawn of a run."""

    name: str
    curves: list[Series] = Field(description="of ticks: losses, augmentation, speed")
    metrics: list[Series] = Field(description="of snapshots")
    grids: list[Grid] = Field(description="oldest first; the one of real pictures at the end")


class Options(BaseModel):
    """What a start is told besides the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[int, Field(ge=1, lt=2**31)] | None = Field(
        None, description="to train on; the default is of the configuration"
    )
    preset: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")] | None = Field(
        None, description="to train with; the default is of the configuration"
    )
