"""Choosing pictures by what is known about them: tags and fields, as booru dumps are filtered.

One predicate serves twice: while a source is read, and again on what the catalog already holds, so
that a tightened filter takes effect without touching a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fields: TypeAlias = Mapping[str, Any]
Predicate: TypeAlias = Callable[[Sequence[str], Fields], bool]
Scalar: TypeAlias = bool | int | float | str


class Condition(BaseModel):
    """What one field must be. All the keys that are given must hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: float | None = Field(None, description="the field is a number of at least this")
    max: float | None = Field(None, description="the field is a number of at most this")
    any_of: tuple[Scalar, ...] | None = Field(None, description="the field is one of these")
    none_of: tuple[Scalar, ...] | None = Field(None, description="the field is none of these")

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if (self.min, self.max, self.any_of, self.none_of) == (None, None, None, None):
            raise ValueError("give at least one of `min`, `max`, `any_of`, `none_of`")
        return self

    def holds(self, value: Any) -> bool:
        """Test one value. A missing value fails all but `none_of`."""
        if self.any_of is not None and not _is_one_of(value, self.any_of):
            return False
        if self.none_of is not None and _is_one_of(value, self.none_of):
            return False
        if self.min is None and self.max is None:
            return True
        number = _number(value)
        if number is None:
            return False
        return (self.min is None or number >= self.min) and (self.max is None or number <= self.max)


class Filter(BaseModel):
    """Keys that every source with metadata takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include_tags: tuple[str, ...] = Field(
        (), description="keep only what has every one of these tags"
    )
    exclude_tags: tuple[str, ...] = Field((), description="drop what has any of these tags")
    where: dict[str, Condition | tuple[Scalar, ...] | Scalar] = Field(
        default_factory=dict,
        description="conditions on fields: a value, a list of allowed values, or a table of "
        "`min`, `max`, `any_of`, `none_of`",
    )

    def predicate(self) -> Predicate | None:
        """Compile to a function of (tags, fields); None when nothing is filtered."""
        if not (self.include_tags or self.exclude_tags or self.where):
            return None
        wanted, unwanted = frozenset(self.include_tags), frozenset(self.exclude_tags)
        conditions = {name: _condition(given) for name, given in self.where.items()}

        def passes(tags: Sequence[str], fields: Fields) -> bool:
            if wanted and not wanted.issubset(tags):
                return False
            if unwanted and not unwanted.isdisjoint(tags):
                return False
            return all(c.holds(fields.get(name)) for name, c in conditions.items())

        return passes


def parse_fields(text: str | None) -> dict[str, Any]:
    """Read the `fields` column of an observation; anything but an object gives no fields."""
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _condition(given: Condition | tuple[Scalar, ...] | Scalar) -> Condition:
    if isinstance(given, Condition):
        return given
    return Condition(any_of=given if isinstance(given, tuple) else (given,))


def _is_one_of(value: Any, allowed: Sequence[Scalar]) -> bool:
    # Tables carry numbers and truth values as text as often as not.
    text = _text(value)
    return any(value == one or text == _text(one) for one in allowed)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return str(value)


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
