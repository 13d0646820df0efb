"""Parts of a set that are published as versions of their own: which items belong to them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from curation.ingest.filters import parse_fields

SPLIT_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
SOURCE: Final = "source"
"""Field of `where` that is the name of an item's source."""


class SplitConfig(BaseModel):
    """A part of the set that is published as a version of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=SPLIT_NAME, description="letters, digits, . _ -")
    tags: tuple[str, ...] = Field((), description="only pictures with all of these tags")
    without_tags: tuple[str, ...] = Field((), description="only pictures with none of these")
    labels: tuple[str, ...] = Field((), description="only pictures with one of these labels")
    where: dict[str, str] = Field(
        default_factory=dict,
        description="regular expressions that whole fields must match, e.g. { source = 'shop-.*' }",
    )

    @field_validator("where")
    @classmethod
    def _are_expressions(cls, where: dict[str, str]) -> dict[str, str]:
        for name, pattern in where.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"`{name}` must be a regular expression, got {pattern!r}: {error}"
                ) from error
        return where

    def filter(self) -> dict[str, Any]:
        """Give the conditions that are set, as a manifest says them."""
        return self.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)

    def __str__(self) -> str:
        conditions = [f"{key} = {json.dumps(value)}" for key, value in self.filter().items()]
        return f"split {self.name!r} ({', '.join(conditions) or 'no condition'})"


@dataclass(frozen=True, slots=True)
class Shares:
    """How the items of a set are divided among all of its splits.

    Attributes
    ----------
    several, none : int
        Items that belong to more than one split, and to none.
    """

    several: int
    none: int


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


def part_of(members: pa.Table, split: SplitConfig) -> pa.Table:
    """Give the items that belong to a split, in the order in which they are.

    Parameters
    ----------
    members
        With the columns label, tags, fields (a JSON object) and source.
    """
    return members.filter(pa.array(_belongs(members, split)))


def count_shares(members: pa.Table, splits: Sequence[SplitConfig]) -> Shares:
    """Count the items that are in several splits, and those that are in none.

    Parameters
    ----------
    members
        As for `part_of`.
    """
    counts = np.zeros(members.num_rows, dtype=np.int64)
    for split in splits:
        counts += _belongs(members, split)
    return Shares(several=int((counts > 1).sum()), none=int((counts == 0).sum()))


def _belongs(members: pa.Table, split: SplitConfig) -> NDArray[np.bool_]:
    """Tell for each item whether it belongs to a split."""
    keep = np.ones(members.num_rows, dtype=bool)
    if split.tags or split.without_tags:
        wanted, unwanted = frozenset(split.tags), frozenset(split.without_tags)
        tags = [frozenset(own or ()) for own in members["tags"].to_pylist()]
        keep &= _mask(wanted <= own and unwanted.isdisjoint(own) for own in tags)
    if split.labels:
        labels = frozenset(split.labels)
        keep &= _mask(label in labels for label in members["label"].to_pylist())
    if split.where:
        holds = _compiled(split.where)
        fields = members["fields"].to_pylist()
        sources = members[SOURCE].to_pylist()
        keep &= _mask(
            holds({**parse_fields(text), SOURCE: source})
            for text, source in zip(fields, sources, strict=True)
        )
    return keep


def _mask(answers: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(answers, dtype=np.bool_)


def _compiled(where: Mapping[str, str]) -> Callable[[Mapping[str, Any]], bool]:
    patterns = {name: re.compile(pattern) for name, pattern in where.items()}

    def holds(fields: Mapping[str, Any]) -> bool:
        return all(_matches(pattern, fields.get(name)) for name, pattern in patterns.items())

    return holds


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    """Match a whole field; of a list one entry is enough; what is missing matches nothing."""
    if isinstance(value, list):
        return any(_matches(pattern, entry) for entry in value)
    return value is not None and pattern.fullmatch(_text(value)) is not None


def _text(value: Any) -> str:
    """Write a value as the metadata has it: JSON, but for text without its quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
