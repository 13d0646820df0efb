"""The section `[compute]`: on what the partitions of a run are worked off."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ComputeError(Exception):
    """The cluster cannot do the work; the message says why, and what to do."""


class ComputeConfig(BaseModel):
    """Where partitions are standardized and ranked: on this machine, or on a Dask cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runner: Literal["local", "dask"] = Field("local", description="local, dask")
    address: str | None = Field(
        None, description="of a running Dask scheduler; without one, dask makes a cluster here"
    )
    workers: int = Field(2, ge=1, description="workers of the cluster that is made here")
    wait: float = Field(
        60.0, gt=0, description="seconds to wait for the scheduler, and while it has no worker"
    )
