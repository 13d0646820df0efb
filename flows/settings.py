"""The configuration of a dataset: `nonesuch.toml`, read, checked and resolved.

Every part is a frozen model that lives beside the code it configures; here they are put together.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from curation.grouping import DuplicateRules
from curation.ingest.sources import SourceConfig
from curation.judging import Rules
from curation.recipe import Limits, Recipe

DEFAULT_FILE: Final = "nonesuch.toml"


class ConfigError(Exception):
    """The configuration is wrong; the message names file, key, value and remedy."""


class Section(BaseModel):
    """Base of the sections that are defined here."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Dataset(Section):
    """What the dataset is called and where it lives."""

    name: str = Field(
        "dataset", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="letters, digits, . _ -"
    )
    root: str = Field("data", description="folder or fsspec URL (s3://bucket/folder)")
    storage_options: dict[str, str | bool | int] = Field(
        default_factory=dict, description="handed to fsspec, e.g. { key = …, secret = … }"
    )


class Publishing(Section):
    """How versions are written."""

    include_flagged: bool = Field(
        False, description="publish flagged items that nobody has decided yet, too"
    )
    samples_per_shard: int = Field(1000, ge=1, description="images in one shard, at most")


class Running(Section):
    """What a run may use of the machine."""

    workers: int = Field(0, ge=0, description="processes for image work; 0 is one a processor")


class DatasetConfig(Section):
    """All of `nonesuch.toml`."""

    dataset: Dataset = Dataset()
    sources: tuple[SourceConfig, ...] = Field((), description="where pictures come from")
    recipe: Recipe = Recipe()
    limits: Limits = Limits()
    rules: Rules = Rules()
    duplicates: DuplicateRules = DuplicateRules()
    publish: Publishing = Publishing()
    run: Running = Running()

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name!r}; give each a `name` of its own")
        return sources

    @model_validator(mode="after")
    def _cascade_exists(self) -> DatasetConfig:
        if self.recipe.detector is not None:
            from curation.cascade import load_cascade
            from curation.errors import CurationError

            try:
                load_cascade(self.recipe.detector.cascade)
            except CurationError as error:
                raise ValueError(str(error)) from error
        return self


def load(path: str | os.PathLike[str]) -> DatasetConfig:
    """Read a configuration; relative paths in it are relative to its folder.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or any key or value is wrong.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{file} does not exist; write one with `nonesuch init`, or name one with --config"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    return parse(_resolve(raw, file.resolve().parent), name=str(file))


def parse(raw: dict[str, Any], name: str = "config") -> DatasetConfig:
    """Check a configuration that is already read.

    Parameters
    ----------
    raw : dict
        As `tomllib` gives it.
    name : str
        What errors call it.
    """
    try:
        return DatasetConfig.model_validate(raw)
    except ValidationError as error:
        lines = [f"{name}: {_explain(details)}" for details in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _resolve(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make local paths absolute."""

    def absolute(value: Any) -> Any:
        if not isinstance(value, str) or "://" in value:
            return value
        return os.path.normpath(folder / Path(value).expanduser())

    out = dict(raw)
    dataset = out.get("dataset", {})
    if isinstance(dataset, dict):
        out["dataset"] = {**dataset, "root": absolute(dataset.get("root", Dataset().root))}
    sources = out.get("sources")
    if isinstance(sources, list):
        out["sources"] = [
            {
                key: absolute(value) if key in ("path", "metadata", "images") else value
                for key, value in source.items()
            }
            if isinstance(source, dict)
            else source
            for source in sources
        ]
    return out


def _explain(details: ErrorDetails) -> str:
    """Put one of pydantic's errors in words: key, rule, value, remedy."""
    key = ".".join(str(part) for part in details["loc"])
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        return f"`{key}` is not a key{_suggestion(details['loc'])}"
    if details["type"] == "value_error":
        return f"`{key}`: {message}" if key else message
    if details["type"] == "missing":
        return f"`{key}` is missing"
    return f"`{key}`: {message}, got {details['input']!r}"


def _suggestion(location: tuple[int | str, ...]) -> str:
    """Name the keys that exist there, nearest first."""
    model: Any = DatasetConfig
    for part in location[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields is None or part not in fields:
            return ""
        model = fields[part].annotation
    known = list(getattr(model, "model_fields", ()))
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known keys: {', '.join(known)}" if known else ""
