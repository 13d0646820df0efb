"""The configuration of a dataset: `nonesuch.toml`, read, checked and resolved.

Every part is a frozen model that lives beside the code it configures; here they are put together.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Final

from curation.grouping import DuplicateRules
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from curation.ingest.sources import SourceConfig, check_names
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
        check_names(sources)
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
    return parse(raw, name=str(file), folder=file.resolve().parent)


def parse(raw: dict[str, Any], *, name: str, folder: Path) -> DatasetConfig:
    """Check a configuration that is already read, and make its paths absolute.

    Parameters
    ----------
    raw : dict
        As `tomllib` gives it.
    name : str
        What errors call it.
    folder : Path
        What relative paths are relative to.
    """
    try:
        config = DatasetConfig.model_validate(raw)
    except ValidationError as error:
        lines = [f"{name}: {_explain(details)}" for details in error.errors()]
        raise ConfigError("\n".join(lines)) from error
    root = _absolute(config.dataset.root, folder)
    return config.model_copy(
        update={
            "dataset": config.dataset.model_copy(update={"root": root}),
            "sources": tuple(source.at(folder) for source in config.sources),
        }
    )


def _absolute(url: str, folder: Path) -> str:
    return url if "://" in url else os.path.normpath(folder / Path(url).expanduser())


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
