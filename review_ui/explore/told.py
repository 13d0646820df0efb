"""What the explorer is told of models; passed on as JSON as it is."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class SnapshotTold(_Told):
    """A state of a run that can be looked into."""

    name: str
    kimg: float
    key: str = Field(description="another one for other contents: part of addresses of pictures")


class RunTold(_Told):
    """A run with at least one snapshot."""

    name: str
    version: int
    preset: str
    height: int
    width: int
    is_training: bool
    snapshots: tuple[SnapshotTold, ...] = Field(description="newest first")


class ModelsTold(_Told):
    """What can be looked into, the run that has changed last first."""

    dataset: str
    runs: tuple[RunTold, ...]


class DirectionTold(_Told):
    """A direction of a set; `edits` of a look name it by set and index."""

    index: int
    name: str
    low: float = Field(description="amounts from here")
    high: float = Field(description="to here change a picture without breaking it")
    share: float | None = Field(description="of what its set explains; AUROC where found from tags")


class DirectionsTold(_Told):
    """A set of directions."""

    name: str
    kind: str = Field(description="sefa, ganspace or tags")
    about: str
    directions: tuple[DirectionTold, ...]


class ModelTold(_Told):
    """What can be done with a snapshot."""

    run: str
    snapshot: str
    key: str
    height: int
    width: int
    num_ws: int
    layers: tuple[tuple[int, int], ...] = Field(
        description="resolution (height, width) that each w goes to"
    )
    labels: tuple[str, ...]
    directions: tuple[DirectionsTold, ...]
    problems: tuple[str, ...] = Field(description="what of the run cannot be used, in words")


class NeighbourTold(_Told):
    """A real picture."""

    url: str
    distance: float


class NearestTold(_Told):
    """Real pictures near to one; real ones are looked through once for each version."""

    state: Literal["working", "done"]
    done: int
    total: int
    between: float | None = Field(None, description="median of a real one to its nearest other")
    encoder: str = ""
    neighbours: tuple[NeighbourTold, ...] = ()


class ProjectionTold(_Told):
    """A real picture that was, or is being, found in the latent space."""

    name: str
    state: Literal["waiting", "working", "done", "failed"]
    step: int
    steps: int
    message: str = ""
    distance: float | None = None
    start_distance: float | None = None
    target: str | None = Field(None, description="addresses of pictures, where there are some")
    start: str | None = None
    end: str | None = None
