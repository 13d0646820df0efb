"""The sections `[schedules]`, `[loop]` and `[server]`: what runs by itself, when, and where."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, field_validator

_ANY_TIME: Final = datetime(2024, 1, 1, tzinfo=UTC)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedules(_Section):
    """When flows start by the clock, while `nonesuch up` runs; what is not set does not."""

    time_zone: str = Field("UTC", description="of the schedules, such as Europe/Vienna")
    rebuild: str | None = Field(None, description="cron: minute hour day month weekday")
    publish: str | None = Field(None, description="cron")
    train: str | None = Field(None, description="cron; goes on with a run that is not finished")
    rank: str | None = Field(None, description="cron")

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"must be a time zone such as Europe/Vienna or UTC, got {name!r}")
        return name

    @field_validator("rebuild", "publish", "train", "rank")
    @classmethod
    def _is_cron(cls, line: str | None) -> str | None:
        if line is not None:
            try:
                CronSim(line, _ANY_TIME)
            except CronSimError as error:
                raise ValueError(
                    f"must be cron's five fields, such as '0 3 * * *' (daily at three): {error}"
                ) from error
        return line


class LoopConfig(_Section):
    """What follows from what, while `nonesuch up` runs."""

    train_on_publish: bool = Field(True, description="a published version starts a training")
    min_decisions: int = Field(
        50, ge=0, description="of people, new since the version trained on last; enough to train"
    )
    min_changed: float = Field(
        0.05, ge=0, le=1, description="share of items that came or went; enough to train, too"
    )
    rank_on_train: bool = Field(True, description="a finished training has all items ranked")


class ServerConfig(_Section):
    """Where `nonesuch up` keeps and serves Prefect."""

    host: str = Field("127.0.0.1", description="address that Prefect's page listens at")
    port: int = Field(4200, ge=0, le=65535, description="its port; 0 takes a free one")
    home: Path | None = Field(
        None, description="where its database is; the default is `prefect` in the root"
    )
    review: bool = Field(True, description="serve the review page, too")
    dead_after: int = Field(
        600, ge=540, description="seconds without a heartbeat after which a run counts as crashed"
    )

    def at(self, folder: Path, root: str) -> ServerConfig:
        """Give this with an absolute `home`: relative to `folder`, by default in a local `root`."""
        if self.home is not None:
            home = folder / self.home.expanduser()
        else:
            home = (folder if "://" in root else Path(root)) / "prefect"
        return self.model_copy(update={"home": Path(os.path.normpath(home))})
