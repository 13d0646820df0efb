"""The section `[rank]`: what scores the pictures, and how often it is asked."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RankConfig(BaseModel):
    """How `nonesuch rank` scores; what happens to the lowest and highest, `[rules]` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    density: bool = Field(
        True, description="score by likeness to others, too, which needs no training"
    )
    on_rebuild: bool = Field(
        True, description="a rebuild scores what is new, once a model or a ranking is there"
    )
    snapshots: int = Field(
        1, ge=1, description="newest snapshots of a run that judge together, at most"
    )
    shuffles: int = Field(
        8, ge=2, description="times each picture is judged, each among other companions"
    )
    batch: int = Field(64, ge=1, description="pictures at once")
    partition: int = Field(
        0,
        ge=0,
        description="pictures saved together: what a kill costs; 0 is 2000 on a GPU, 200 on a CPU",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto, cpu, cuda: auto: a GPU where there is one"
    )
