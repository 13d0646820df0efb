"""The sections `[train]` and `[matrix]`: what is trained on, what is set, what side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from training.config import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    NetworkConfig,
    OptimizerConfig,
    RunConfig,
    SpeedConfig,
)
from training.presets import PRESETS

SETTINGS: Final = ("network", "augment", "loss", "optimizer", "data", "speed", "run")
"""Sections of `training.config`: what is not set in them, the preset decides."""
_METRICS: Final = get_args(get_args(RunConfig.model_fields["metrics"].annotation)[0])

RUN_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class TrainConfig(BaseModel):
    """How `nonesuch train` trains, where its options do not say otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = Field("stylegan2-ada", description=" | ".join(PRESETS))
    version: int | None = Field(
        None, ge=1, description="published version to train on; the default is the newest"
    )
    name: str | None = Field(
        None, pattern=RUN_NAME, description="of the run; the default is vVERSION-PRESET"
    )
    gpus: int = Field(
        0, ge=0, description="processes, one a GPU; 0 is every GPU there is, or one on the CPU"
    )
    folder: Path | None = Field(
        None, description="where runs are kept; the default is `models` in the root"
    )
    cache: Path | None = Field(None, description="where versions from object storage are copied to")
    transfer: Path | None = Field(
        None, description="snapshot, or run's folder, that a new run takes its weights from"
    )
    network: NetworkConfig = NetworkConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    data: DataConfig = DataConfig()
    speed: SpeedConfig = SpeedConfig()
    run: RunConfig = RunConfig()

    @field_validator("preset")
    @classmethod
    def _preset_exists(cls, preset: str) -> str:
        if preset not in PRESETS:
            raise ValueError(f"must be one of {', '.join(PRESETS)}, got {preset!r}")
        return preset

    @field_validator("folder", "cache", "transfer", mode="before")
    @classmethod
    def _are_local(cls, path: Any) -> Any:
        if isinstance(path, str) and (not path or "://" in path):
            raise ValueError(f"must be a path on a local disk, got {path!r}")
        return path

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out defaults: read again, they would count as set, and win over the preset."""
        values = {key: value for key, value in write(self).items() if key in self.model_fields_set}
        for name in SETTINGS:
            if name in values:
                told = getattr(self, name).model_fields_set
                values[name] = {key: values[name][key] for key in values[name] if key in told}
        return values

    def at(self, folder: Path) -> TrainConfig:
        """Give this with paths made absolute that are relative to `folder`."""
        paths = {
            name: Path(os.path.normpath(folder / path.expanduser()))
            for name in ("folder", "cache", "transfer")
            if (path := getattr(self, name)) is not None
        }
        return self.model_copy(update=paths)

    def settings(self) -> dict[str, Any]:
        """Give what is set of a training's settings, each as `section.key`."""
        return {
            f"{name}.{key}": value
            for name in SETTINGS
            for key, value in getattr(self, name)
            .model_dump(mode="json", exclude_unset=True)
            .items()
        }


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
