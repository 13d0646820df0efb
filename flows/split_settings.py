"""The sections `[[splits]]` and `[matrix]`: several versions and models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from curation.stages.splits import SplitConfig
from training.config import RunConfig
from training.presets import PRESETS

__all__ = ["MatrixConfig", "SplitConfig", "check_splits"]

_METRICS: Final = get_args(get_args(RunConfig.model_fields["metrics"].annotation)[0])


class MatrixConfig(BaseModel):
    """Trainings of `nonesuch matrix`: every version × preset × seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    splits: tuple[str, ...] = Field(
        (), description="newest version of each of these splits; without any: of the whole set"
    )
    versions: tuple[int, ...] = Field((), description="numbers of versions, besides")
    presets: tuple[str, ...] = Field((), description="without any: the preset of [train]")
    seeds: tuple[int, ...] = Field((0,), description="of everything that is drawn")
    at_once: int = Field(
        0, ge=0, description="trainings side by side; 0 is one a GPU, or one on the CPU"
    )
    metrics: tuple[str, ...] = Field(
        ("fd_own",), description="taken of each run once it has ended; without any, none"
    )

    @field_validator("presets")
    @classmethod
    def _presets_exist(cls, presets: tuple[str, ...]) -> tuple[str, ...]:
        for preset in presets:
            if preset not in PRESETS:
                raise ValueError(f"must be among {', '.join(PRESETS)}, got {preset!r}")
        return presets

    @field_validator("metrics")
    @classmethod
    def _metrics_exist(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for metric in metrics:
            if metric not in _METRICS:
                raise ValueError(f"must be among {', '.join(_METRICS)}, got {metric!r}")
        return metrics


def check_splits(splits: Sequence[SplitConfig]) -> None:
    """Refuse two splits of one name.

    Raises
    ------
    ValueError
        Names the name.
    """
    names = [split.name for split in splits]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names of splits must differ, got {twice[0]!r} twice")
