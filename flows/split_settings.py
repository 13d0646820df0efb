"""The sections `[[splits]]` and `[matrix]`: several versions and models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from training.presets import PRESETS

SPLIT_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class SplitConfig(BaseModel):
    """A part of the set that is published as a version of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=SPLIT_NAME, description="letters, digits, . _ -")
    tags: tuple[str, ...] = Field((), description="only pictures with all of these tags")
    without_tags: tuple[str, ...] = Field((), description="only pictures with none of these")
    labels: tuple[str, ...] = Field((), description="only pictures with one of these labels")
    where: dict[str, str] = Field(
        default_factory=dict,
        description="regular expressions that fields must match, e.g. { source = 'shop-.*' }",
    )


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

    @field_validator("presets")
    @classmethod
    def _presets_exist(cls, presets: tuple[str, ...]) -> tuple[str, ...]:
        for preset in presets:
            if preset not in PRESETS:
                raise ValueError(f"must be among {', '.join(PRESETS)}, got {preset!r}")
        return presets


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
